"""What a server costs: ``python -m tests.benchmarks --help``. Needs Linux.

One process holds all subscribers and publishers in one epoll loop. It has to be quick, because it shares the machine
with the server that it measures. All subscribers of a channel get the same bytes. So the bytes that the first
subscriber got are kept on the channel's tape, and what the others read is compared with the tape: one ``memcmp`` for
each read. The tape itself is checked when all messages have been published.
"""
