# What each target is for: `make help`. Everything goes through bootstrap.sh, which prints the folder it prepared.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.SILENT:
.NOTPARALLEL:
.PHONY: help demo test test-ip6tnl check bench lab-bench soak crowd mutants lock clean

# One lab at a time: they share two cores and the kernel's attention.
PROGRAMS := tests/topology/test_home_agent_process.py
ONLY_THE_HOME_AGENT := test_where_a_device_ends_every_tunnel_only_the_home_agent_may_send_through_one
IP6TNL := tests/contract tests/dataplane/test_linux.py tests/dataplane/test_probe.py tests/dataplane/test_source_check.py \
	tests/dataplane/test_changes.py tests/dataplane/test_watch.py tests/dataplane/test_router.py::$(ONLY_THE_HOME_AGENT) \
	$(PROGRAMS)::test_killing_and_restarting_loses_no_packet_and_no_binding \
	$(PROGRAMS)::test_two_lines_carry_traffic_to_the_office_when_its_router_answers
ONE_HOME_AGENT := $(PROGRAMS) $(addprefix tests/topology/test_,home_agent_answers.py repair.py purge.py lease_refused.py \
	self_test.py foreign_mobile_routers.py)
LAB_LOCK := /run/anycast-xsp-lab.lock
prepare = tree=$$(./bootstrap.sh); python=$$tree/bin/python

help:
	echo 'make demo    install what is missing, then show one customer survive a dead line and a dead site (root)'
	echo 'make test    install what is missing, then run every test; not root: all but those in network namespaces'
	echo 'make test-ip6tnl  the data plane with the other driver, in a guest with Debian'"'"'s kernel, emulated: minutes (root)'
	echo 'make check   format, lint, types, import rules'
	echo 'make bench   measure all rows of bench/results.jsonl, or NAME=one; KEEP=1 keeps what was measured there'
	echo 'make lab-bench  the failover table (root): RUNS=10 of every event, or ROWS=name,name SETTINGS=name,name; KEEP=1'
	echo 'make mutants take each rule out in turn and see a test fail'
	echo 'make soak    every pair of processes killed or stopped, any site failed at MOMENTS=100, a million changes of the kernel (root), then seeds of the simulation and fuzzing, other ones each time: SOAK=minutes'
	echo 'make crowd   what a daemon does beside CROWD=100000 other customers: half an hour (root)'
	echo 'make lock    resolve requirements.lock anew from setup.cfg (needs the package index)'
	echo 'make clean   remove caches and this checkout'"'"'s links; what was installed stays'

demo:
	if [ "$$(id -u)" != 0 ]; then
		echo 'The demo builds network namespaces, which only root may.' >&2
		echo 'Run: sudo make demo' >&2
		exit 4
	fi
	$(prepare)
	flock --nonblock $(LAB_LOCK) true || echo 'Waiting for another lab on this machine to end.'
	flock --close $(LAB_LOCK) "$$tree/bin/xsp-lab" demo

test:
	$(prepare)
	status=0
	echo '== tests without namespaces: unit, property, contract, simulation (parallel)'
	"$$python" -m pytest tests -m 'not netns' --numprocesses auto || status=$$?
	echo '== tests in network namespaces: kernel and BGP (two at a time: they mostly wait)'
	"$$python" -m pytest tests --ignore tests/topology -m netns --numprocesses 2 --dist loadfile --lab-lock $(LAB_LOCK) || status=$$?
	echo '== tests in network namespaces: whole sites and labs (one at a time)'
	"$$python" -m pytest tests/topology -m netns --lab-lock $(LAB_LOCK) --durations 5 || status=$$?
	exit $$status

# The guest sees the files of this machine, read-only, so what was installed here runs there.
test-ip6tnl:
	$(prepare)
	"$$python" -m tests.guest "$$python" -m pytest -q -p no:cacheprovider --driver ip6tnl --timeout 900 $(IP6TNL)

check:
	$(prepare)
	echo '== format' && "$$python" -m ruff format --check .
	echo '== lint' && "$$python" -m ruff check .
	echo '== types' && "$$python" -m mypy
	echo '== import rules' && "$$python" -m pytest -q tests/test_architecture.py

# Rows that need namespaces take the lab's lock themselves: two labs at a time would measure each other.
bench:
	$(prepare)
	"$$python" -m tests.bench $(NAME) $(if $(KEEP),--keep)

# Takes the lab's lock for as long as it runs, some 100 minutes with 10 runs of all but the longest interval.
lab-bench:
	if [ "$$(id -u)" != 0 ]; then
		echo 'The failover table needs network namespaces, which only root may build.' >&2
		echo 'Run: sudo make lab-bench' >&2
		exit 4
	fi
	$(prepare)
	"$$python" -m tests.bench.failover $(if $(RUNS),--runs $(RUNS)) --rows "$(ROWS)" --settings "$(SETTINGS)" $(if $(KEEP),--keep)

# The tests of one home agent and what it hears. Who takes a whole lab has the crowd in `make bench`.
crowd:
	$(prepare)
	"$$python" -m pytest -q $(ONE_HOME_AGENT) --crowd $(or $(CROWD),100000) --timeout 600 --lab-lock $(LAB_LOCK)

mutants:
	$(prepare)
	"$$python" -m tests.mutants

# What fails is written to the current folder. With atheris in the environment the fuzzing is guided by coverage.
soak:
	$(prepare)
	if [ "$$(id -u)" = 0 ]; then
		"$$python" -m pytest -q tests/topology/test_stuck_announcements.py --every-combination --lab-lock $(LAB_LOCK)
		"$$python" -m tests.dataplane.soak 1000000
	fi
	first=$$(( $$(date +%s) % 100000 * 1000 ))
	if [ "$$(id -u)" = 0 ]; then
		echo "== any site killed, stopped or cut off at $(or $(MOMENTS),100) moments, seed $$first"
		"$$python" -m pytest -q -s tests/topology/test_any_site_any_moment.py --moments $(or $(MOMENTS),100) --moments-seed "$$first" --lab-lock $(LAB_LOCK)
	fi
	"$$python" -m tests.simulation --seeds "$$first-$$(( first + $(or $(SOAK),10) * 30 ))" --jobs "$$(nproc)"
	for target in decode handle; do "$$python" -m tests.fuzz "$$target" "$$(( $(or $(SOAK),10) * 30 ))"; done

# --allow-unsafe: setuptools is locked too, it builds the installed copy. No option or index of this machine is written.
lock:
	work=$$(mktemp -d)
	trap 'rm -rf "$$work"' EXIT
	/usr/bin/python3 -m venv "$$work"
	"$$work/bin/pip" --quiet install pip-tools
	/usr/bin/python3 -c 'import configparser as c; s = c.ConfigParser(); s.read("setup.cfg"); print(s["options"]["install_requires"], *s["options.extras_require"].values(), sep="\n")' |
	CUSTOM_COMPILE_COMMAND='make lock' "$$work/bin/pip-compile" --quiet --generate-hashes --allow-unsafe --strip-extras \
		--no-annotate --no-emit-options --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		--output-file requirements.lock -

clean:
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis build ./*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	[ ! -L .venv ] || rm .venv
