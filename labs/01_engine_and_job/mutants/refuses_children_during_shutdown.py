"""Refuses every new job once shutdown began, also those that a running job needs to finish."""


class Engine:
    @contextmanager
    def running(self, job):
        with self._lock:
            if self._is_shutdown:
                job.status = Status.ERROR
                raise Unavailable("the daemon is shutting down and takes no new jobs")
            self._running.add(job)
        try:
            job.id = self.trace.begin(job.name, job.args, job.parent.id if job.parent else 0)
            yield
        finally:
            with self._lock:
                self._running.discard(job)
                self._lock.notify_all()
