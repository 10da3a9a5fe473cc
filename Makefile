# For the working loop; KERAS_BACKEND selects the backend.
.PHONY: quick test check

quick:  # at most two minutes on two cores
	TESTS_ONLY=1 bash tests/run.sh -m quick

test:  # everything on one backend
	bash tests/run.sh

check:  # everything on three backends, as continuous integration runs it
	bash .ci/run
