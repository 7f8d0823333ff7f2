"""seccomp: a doorman who reads each system call's name and arguments, and the list that he goes by.

`profile` decodes the list from JSON, `resolver` narrows it to one container on one machine, and
`compiler` turns it into the BPF program that the kernel runs. Nothing here loads a filter: that
is the init half's step, through `Kernel.seccomp`.
"""
