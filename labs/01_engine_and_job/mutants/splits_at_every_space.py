"""Splits a job line at white space, so that quoted words fall apart."""


class Engine:
    def parse_job(self, line):
        words = line.split()
        count = 0
        while count < len(words) and "=" in words[count]:
            count += 1
        if count == len(words):
            raise Invalid(f"bad job line {line!r}: no job name in it")
        job = self.job(words[count], *words[count + 1 :])
        for assignment in words[:count]:
            key, _, value = assignment.partition("=")
            job.env[key] = value
        return job
