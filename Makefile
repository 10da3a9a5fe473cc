# For the working loop; KERAS_BACKEND selects the backend.
.PHONY: quick test lowest check

quick:  # at most two minutes on two cores
	TESTS_ONLY=1 bash tests/run.sh -m quick

test:  # everything on one backend
	bash tests/run.sh

lowest:  # the quick set with the lowest supported versions
	LOWEST=1 KERAS_BACKEND=jax bash tests/run.sh -m quick

check:  # everything on three backends, as continuous integration runs it
	bash .ci/run
