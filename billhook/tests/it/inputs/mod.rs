//! What comes over the wire, good and hostile, and the rows it becomes.
