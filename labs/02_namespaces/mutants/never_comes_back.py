"""Does not return from the pid namespace that it entered, so that the next container's init is born there too."""


class Parent:
    def _clone(self, kernel, flags, joins, cgroup, live, keep):
        ours, theirs = dialogue.pair()
        try:
            for path, flag in joins:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    kernel.setns(descriptor, flag)
                finally:
                    os.close(descriptor)
            pid, pidfd = kernel.clone3(flags, cgroup)
            if pid == 0:
                _close_all_but(self._kernel, {0, 1, 2, theirs.fileno(), *keep})
                live(theirs)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return Newborn(pid, pidfd, ours)
