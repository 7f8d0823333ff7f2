"""Calls the callbacks while it holds the lock; one that asks the job again waits for ever."""


class Job:
    def cancel(self):
        with self._lock:
            if self._cancelled:
                return
            self._cancelled = True
            for callback in list(self._cancel_callbacks):
                callback()
