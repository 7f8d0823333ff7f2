"""Closes nothing in the child, which then holds other containers' pipes: their output never ends."""


class Parent:
    def _clone(self, kernel, flags, joins, cgroup, live, keep):
        ours, theirs = dialogue.pair()
        joined = 0
        try:
            for path, flag in joins:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    kernel.setns(descriptor, flag)
                finally:
                    os.close(descriptor)
                joined |= flag
            pid, pidfd = kernel.clone3(flags, cgroup)
            if pid == 0:
                live(theirs)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            if joined & c.CLONE_NEWPID:
                kernel.setns(self._own_pid_namespace, c.CLONE_NEWPID)
        return Newborn(pid, pidfd, ours)
