"""What ``manage.py eventcast bench`` is made of: a load generator that checks every byte. It imports nothing of Django.

- ``load``: one run: starts the workers, has them connect, publishes, collects the figures;
- ``publishers``: the HTTP connections that publish, in the process of the command;
- ``subscribers``: the WebSockets, in worker processes: ``python -m eventcast.bench.subscribers``;
- ``handshakes``, ``tapes``: how they connect, and how what they get is checked;
- ``contents``, ``shared``, ``latencies``: what both sides must agree on;
- ``process``, ``server``, ``report``: the server's CPU time and memory, a server of its own, and what is printed.

It has to take less CPU time per delivery than the server, whose share is hardly more than one ``send(2)``. Hence no
frame is parsed: see ``tapes``.
"""
