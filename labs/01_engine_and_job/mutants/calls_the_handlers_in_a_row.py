"""Calls the shutdown handlers one after the other, so that the first one that hangs keeps all others from saving."""


class Engine:
    def shutdown(self, jobs_seconds=5.0, handlers_seconds=10.0):
        with self._lock:
            if self._is_shutdown:
                return
            self._is_shutdown = True
            self._lock.wait_for(self._only_services_run, jobs_seconds)
            late = list(self._running)
            handlers = list(self._shutdown_handlers)
        for job in late:
            job.cancel()
        deadline = time.monotonic() + handlers_seconds
        for handler in handlers:
            thread = threading.Thread(target=self._call, args=(handler,), daemon=True)
            thread.start()
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                break
        self.trace.close()
