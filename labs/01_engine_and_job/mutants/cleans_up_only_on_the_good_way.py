"""Cleans up after the handler instead of in a finally, so that a crash leaves the streams open and the trace running."""


class Job:
    def run(self):
        with self._lock:
            if (self._state, "run") not in TRANSITIONS:
                raise RuntimeError(f"job {self} was run before: a job runs once, as a process does")
            self._state = TRANSITIONS[self._state, "run"]
        tail = self.stderr.add_tail(lines=1)
        with self.engine.running(self), self._cancelled_with_parent():
            if self._handler is None:
                self.status = Status.NOT_FOUND
                self.stderr.write(f"{self.name}: no such job\n".encode())
            else:
                self.status = Status.ERROR
                self.status = Status(self._handler(self) or Status.OK)
            self._state = TRANSITIONS[self._state, "exit"]
            self.stdout.close()
            self.stderr.close()
            self.engine.trace.end(self.id, int(self.status), "\n".join(tail.lines()))
            if self.status is not Status.OK:
                raise JobFailed("\n".join(tail.lines()))
