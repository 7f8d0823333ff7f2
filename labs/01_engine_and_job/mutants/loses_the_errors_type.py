"""Turns every error into a JobFailed with its text, so that callers must guess an error's kind from its words."""


class Job:
    def run(self):
        with self._lock:
            if (self._state, "run") not in TRANSITIONS:
                raise RuntimeError(f"job {self} was run before: a job runs once, as a process does")
            self._state = TRANSITIONS[self._state, "run"]
        tail = self.stderr.add_tail(lines=1)
        error = ""
        with self.engine.running(self):
            try:
                with self._cancelled_with_parent():
                    if self._handler is None:
                        self.status = Status.NOT_FOUND
                        self.stderr.write(f"{self.name}: no such job\n".encode())
                    else:
                        self.status = Status.ERROR
                        self.status = Status(self._handler(self) or Status.OK)
                if self.status is not Status.OK:
                    raise JobFailed("\n".join(tail.lines()))
            except Exception as failure:
                error = str(failure)
                self._say(error)
                raise JobFailed(error) from failure
            finally:
                with self._lock:
                    self._state = TRANSITIONS[self._state, "exit"]
                self.stdout.close()
                self.stderr.close()
                self.engine.trace.end(self.id, int(self.status or 0), error)
