"""Clones first and enters the namespaces afterwards, when the child is born already, in the wrong place."""


class Parent:
    def _clone(self, kernel, plan, cgroup, live, keep):
        def be_born():
            _close_all_but(self._kernel, {0, 1, 2, theirs.fileno(), *keep})
            live(theirs)

        ours, theirs = dialogue.pair()
        joined = 0
        try:
            if plan.midwife_joins:
                pid, pidfd = self._clone_by_midwife(kernel, plan, cgroup, be_born)
            else:
                pid, pidfd = kernel.clone3(plan.clone_flags, cgroup)
                if pid == 0:
                    be_born()
            for path, flag in plan.parent_joins:
                _enter(kernel, ((path, flag),))
                joined |= flag
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            if joined & c.CLONE_NEWPID:
                kernel.setns(self._own_pid_namespace, c.CLONE_NEWPID)
        return Newborn(pid, pidfd, ours)
