"""Waits for services, which never end by themselves, and so always takes all of its time."""


class Engine:
    def shutdown(self, jobs_seconds=5.0, handlers_seconds=10.0):
        with self._lock:
            if self._is_shutdown:
                return
            self._is_shutdown = True
            self._lock.wait_for(lambda: not self._running, jobs_seconds)
            late = list(self._running)
            handlers = list(self._shutdown_handlers)
        for job in late:
            job.cancel()
        threads = [threading.Thread(target=self._call, args=(handler,), daemon=True) for handler in handlers]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + handlers_seconds
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self.trace.close()
