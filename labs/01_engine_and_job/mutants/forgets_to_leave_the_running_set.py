"""Leaves a job among the running ones when its handler raises, so that shutdown waits for the dead."""


class Engine:
    @contextmanager
    def running(self, job):
        with self._lock:
            if self._is_shutdown and job.parent not in self._running:
                job.status = Status.ERROR
                raise Unavailable("the daemon is shutting down and takes no new jobs")
            self._running.add(job)
        job.id = self.trace.begin(job.name, job.args, 0)
        yield
        with self._lock:
            self._running.discard(job)
            self._lock.notify_all()
