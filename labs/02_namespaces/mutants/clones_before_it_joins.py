"""Clones first and enters the namespaces afterwards, when the child is born already, in the wrong place."""


class Parent:
    def _clone(self, kernel, flags, joins, cgroup, live, keep):
        ours, theirs = dialogue.pair()
        joined = 0
        try:
            pid, pidfd = kernel.clone3(flags, cgroup)
            if pid == 0:
                _close_all_but(self._kernel, {0, 1, 2, theirs.fileno(), *keep})
                live(theirs)
            for path, flag in joins:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    kernel.setns(descriptor, flag)
                finally:
                    os.close(descriptor)
                joined |= flag
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            if joined & c.CLONE_NEWPID:
                kernel.setns(self._own_pid_namespace, c.CLONE_NEWPID)
        return Newborn(pid, pidfd, ours)
