//! Named places where a test may kill the process, to prove that nothing is lost there.
//!
//! [`hit`] stands between two durable effects. Built without the cargo feature `failpoints` (the
//! default) it is an empty function. Built with it, a process whose environment has
//! `TIDEGATE_FAILPOINT=name` kills itself with SIGKILL on reaching that name, and with
//! `TIDEGATE_FAILPOINT=name:3` on reaching it for the third time. Names are
//! `room.what_has_just_happened`. This room knows nothing of the places it is called from.

#[cfg(feature = "failpoints")]
mod armed;

/// Does nothing, unless this build has failpoints and the environment names this one.
#[inline]
pub fn hit(name: &'static str) {
    #[cfg(feature = "failpoints")]
    armed::hit(name);
    #[cfg(not(feature = "failpoints"))]
    let _ = name;
}
