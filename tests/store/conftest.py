import time

import pytest
from support.store_process import StoreProcess


@pytest.fixture
def make_store(tmp_path):
    """Return a function that starts a store. Stores that still run are stopped at the end of the test."""
    started = []

    def make(directory=tmp_path / "state", **settings):
        store = StoreProcess(directory, **settings)
        started.append(store)
        return store.start()

    yield make
    for store in started:
        if store.process is not None:
            store.stop()


@pytest.fixture
def store(make_store):
    return make_store()


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory):
    """One store for the tests of a module, which use different streams."""
    with StoreProcess(tmp_path_factory.mktemp("shared")) as store:
        yield store


@pytest.fixture
def now_ns():
    return time.time_ns()
