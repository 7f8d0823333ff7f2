"""Runs a job as often as it is asked to, although its streams are closed and its trace is ended."""


class Job:
    def run(self):
        self._state = JobState.RUNNING
        tail = self.stderr.add_tail(lines=1)
        with self.engine.running(self):
            error = ""
            try:
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
                if not isinstance(failure, JobFailed):
                    self._say(error)
                raise
            finally:
                self._state = JobState.ENDED
                self.stdout.close()
                self.stderr.close()
                self.engine.trace.end(self.id, int(self.status or 0), error)
