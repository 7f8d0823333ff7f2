"""Closes nothing in the child, which then holds other containers' pipes: their output never ends."""


class Parent:
    def _clone(self, kernel, plan, cgroup, live, keep):
        def be_born():
            live(theirs)

        ours, theirs = dialogue.pair()
        joined = 0
        try:
            for path, flag in plan.parent_joins:
                _enter(kernel, ((path, flag),))
                joined |= flag
            if plan.midwife_joins:
                pid, pidfd = self._clone_by_midwife(kernel, plan, cgroup, be_born)
            else:
                pid, pidfd = kernel.clone3(plan.clone_flags, cgroup)
                if pid == 0:
                    be_born()
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            if joined & c.CLONE_NEWPID:
                kernel.setns(self._own_pid_namespace, c.CLONE_NEWPID)
        return Newborn(pid, pidfd, ours)
