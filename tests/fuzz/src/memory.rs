//! Memory is counted, not timed.

/// What `action` gives, which must not hold more than `bytes_max` bytes at any moment, of those that it asked for.
pub fn within<T>(bytes_max: usize, what: &str, action: impl FnOnce() -> T) -> T {
    let mut result = None;
    let info = allocation_counter::measure(|| result = Some(action()));
    assert!(info.bytes_max <= bytes_max as u64, "{what} held {} bytes of at most {bytes_max}", info.bytes_max);
    result.expect("the action has run")
}
