"""Sockets that never block, and the loop that reads them."""

import selectors
import socket
import time

from ledger import Finding


class Loop:
    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.links = set()

    def turn(self, patience=0.0):
        """Writes what is to be written, and hands out what has come.

        Returns whether anything has.
        """
        for link in list(self.links):
            link.flush()
        events = self.selector.select(patience)
        for key, _ in events:
            key.data.readable()
        return bool(events)

    def turns(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.turn(left)


class Nobody:
    """Whoever has a connection that has been left, or taken over."""

    def bytes_came(self, link):
        link.input.clear()

    def connection_lost(self, link):
        pass


class Link:
    """One connection, or one socket of datagrams; `owner` is told what comes."""

    def __init__(self, loop, port, owner, kind=socket.SOCK_STREAM):
        self.loop, self.owner = loop, owner
        self.is_stream = kind == socket.SOCK_STREAM
        self.socket = socket.socket(socket.AF_INET, kind)
        if self.is_stream:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.socket.connect(("127.0.0.1", port))
        except OSError as error:
            raise Finding(f"{owner.name} can't connect: {error}") from None
        self.socket.setblocking(False)
        self.output = bytearray()
        self.input = bytearray()
        # What waits for the next turn, so that several packets may go in one segment.
        self.is_corked = False
        self.is_open = True
        loop.links.add(self)
        loop.selector.register(self.socket, selectors.EVENT_READ, self)

    def send(self, data):
        if not self.is_stream:
            try:
                self.socket.send(data)
            except OSError:
                pass
            return
        self.output += data

    def flush(self):
        if not self.output or self.is_corked or not self.is_open:
            return
        try:
            del self.output[: self.socket.send(self.output)]
        except BlockingIOError:
            pass
        except OSError:
            self.lost()

    def readable(self):
        if not self.is_open:
            return
        try:
            data = self.socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not self.is_stream:
            if data:
                self.owner.datagram(data)
            return
        if not data:
            return self.lost()
        self.input += data
        self.owner.bytes_came(self)

    def lost(self):
        self.close()
        self.owner.connection_lost(self)

    def leave(self):
        """Says what there is to say, and goes when the broker has closed.

        Whoever connects again before might be overtaken by what it said here.
        """
        self.is_corked = False
        self.flush()
        self.owner = Nobody()
        if self.is_open:
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:
                self.close()

    def close(self):
        """From this end; the owner is not told."""
        if self.is_open:
            self.is_open = False
            self.loop.selector.unregister(self.socket)
            self.loop.links.discard(self)
            self.socket.close()
