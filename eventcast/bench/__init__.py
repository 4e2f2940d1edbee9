"""What ``manage.py eventcast bench`` is made of: a load generator that checks every byte. It imports nothing of Django.

- ``load``: one run: starts the workers, has them connect, publishes, collects the figures;
- ``publishers``: the HTTP connections that publish, in the process of the command;
- ``subscribers``: the WebSockets, in ``workers``: ``python -m eventcast.bench.subscribers``;
- ``handshakes``, ``reading``, ``pacing``: how they connect, and when and how they read;
- ``tapes``, ``audience``, ``deliveries``: how what they get is checked and counted;
- ``options``, ``target``, ``contents``, ``shared``, ``latencies``: what all must agree on;
- ``process``, ``server``, ``report``: the server's CPU time and memory, a server of its own, and what is printed.

It has to take less CPU time per delivery than the server, whose share is hardly more than one ``send(2)``. Hence no
frame is parsed (see ``tapes``), and none is read sooner than it must be (see ``pacing``).
"""
