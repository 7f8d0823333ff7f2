"""Leaves descriptors open when a join fails: each failing start costs the supervisor one more, until it has none."""


class Parent:
    def _clone(self, kernel, flags, joins, cgroup, live, keep):
        ours, theirs = dialogue.pair()
        joined = 0
        for path, flag in joins:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            kernel.setns(descriptor, flag)
            os.close(descriptor)
            joined |= flag
        pid, pidfd = kernel.clone3(flags, cgroup)
        if pid == 0:
            _close_all_but(self._kernel, {0, 1, 2, theirs.fileno(), *keep})
            live(theirs)
        theirs.close()
        if joined & c.CLONE_NEWPID:
            kernel.setns(self._own_pid_namespace, c.CLONE_NEWPID)
        return Newborn(pid, pidfd, ours)
