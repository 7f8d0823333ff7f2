"""Takes every word with an equals sign for environment, also those after the name, which are arguments."""


class Engine:
    def parse_job(self, line):
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise Invalid(f"bad job line {line!r}: {error}") from None
        plain = [word for word in words if "=" not in word]
        if not plain:
            raise Invalid(f"bad job line {line!r}: no job name in it")
        job = self.job(plain[0], *plain[1:])
        for assignment in words:
            if "=" in assignment:
                key, _, value = assignment.partition("=")
                job.env[key] = value
        return job
