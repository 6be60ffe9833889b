//! A timer that is accurate to tens of microseconds: tokio's own counts in milliseconds.

use std::os::fd::OwnedFd;
use std::time::Instant;

use anyhow::{Context, Result};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A kernel timer that the runtime waits for as it waits for a socket.
#[derive(Debug)]
pub struct PreciseTimer {
    timer: AsyncFd<OwnedFd>,
}

impl PreciseTimer {
    /// Makes a timer. Must be called within a tokio runtime.
    pub fn new() -> Result<PreciseTimer> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).context("the kernel made no timer")?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe because a type may lie about its descriptor; OwnedFd cannot"
        )]
        let timer = AsyncFd::with_interest(timer, Interest::READABLE);
        Ok(PreciseTimer {
            timer: timer.context("the runtime did not take the timer")?,
        })
    }

    /// Waits until then; returns at once when that is past.
    pub async fn sleep_until(&mut self, then: Instant) -> Result<()> {
        let Some(wait) = then
            .checked_duration_since(Instant::now())
            .filter(|wait| !wait.is_zero())
        else {
            return Ok(());
        };
        let once = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: Timespec::try_from(wait).context("the wait is longer than the kernel can count")?,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once).context("the kernel set no timer")?;
        loop {
            let mut ready = self
                .timer
                .readable()
                .await
                .context("the timer cannot be waited for")?;
            let expirations = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0u8; 8])?));
            // `Err` means that the readiness was stale: the timer had been read before.
            if let Ok(read) = expirations {
                read.context("the timer cannot be read")?;
                return Ok(());
            }
        }
    }
}
