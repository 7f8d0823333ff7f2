"""Does not return from the pid namespace that it entered, so that the next container's init is born there too."""


class Parent:
    def _clone(self, kernel, plan, cgroup, live, keep):
        def be_born():
            _close_all_but(self._kernel, {0, 1, 2, theirs.fileno(), *keep})
            live(theirs)

        ours, theirs = dialogue.pair()
        try:
            for path, flag in plan.parent_joins:
                _enter(kernel, ((path, flag),))
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
        return Newborn(pid, pidfd, ours)
