//! Crashes, and databases that go away, freeze, fill up or lock.
