"""How randomised tests run: what one example takes on a busy machine says nothing."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
