//! Two things measured in turns, so that what the machine does meanwhile hits both alike.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::statistics::{Estimate, ratio_of_blocks};

/// How two rivals take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turns {
    /// ABBA blocks: each gives one ratio.
    pub blocks: usize,
    /// The length of a turn; a block has four. Programs that count whole seconds round it up.
    pub slice: Duration,
    /// Connections that either holds.
    pub connections: usize,
}

impl Default for Turns {
    fn default() -> Turns {
        Turns {
            blocks: 8,
            slice: Duration::from_secs(1),
            connections: 8,
        }
    }
}

/// What the turns brought.
#[derive(Debug, Clone)]
pub(super) struct Rivalry {
    /// ours ÷ theirs.
    pub(super) ratio: Estimate,
    /// The means.
    pub(super) ours: f64,
    pub(super) theirs: f64,
}

impl Turns {
    /// Measures both in ABBA blocks. The closures get the block's number, as a seed that both turns of a block share.
    pub(super) async fn take(
        &self,
        ours: impl AsyncFnMut(u64) -> Result<f64>,
        theirs: impl AsyncFnMut(u64) -> Result<f64>,
    ) -> Result<Rivalry> {
        Rivalry::of(&self.blocks(ours, theirs).await?)
    }

    /// The same, as what each block brought.
    pub(super) async fn blocks(
        &self,
        mut ours: impl AsyncFnMut(u64) -> Result<f64>,
        mut theirs: impl AsyncFnMut(u64) -> Result<f64>,
    ) -> Result<Vec<(f64, f64)>> {
        let mut blocks = Vec::with_capacity(self.blocks);
        for block in 0..self.blocks as u64 {
            let first = ours(block).await?;
            let second = theirs(block).await?;
            let third = theirs(block).await?;
            let fourth = ours(block).await?;
            blocks.push((f64::midpoint(first, fourth), f64::midpoint(second, third)));
        }
        Ok(blocks)
    }
}

impl Rivalry {
    pub(super) fn of(blocks: &[(f64, f64)]) -> Result<Rivalry> {
        let ratio = ratio_of_blocks(blocks)
            .context("a turn measured nothing, or there were fewer than two blocks: there is no ratio")?;
        let mean = |pick: fn(&(f64, f64)) -> f64| blocks.iter().map(pick).sum::<f64>() / blocks.len() as f64;
        Ok(Rivalry {
            ratio,
            ours: mean(|block| block.0),
            theirs: mean(|block| block.1),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[tokio::test]
    async fn turns_are_abba_and_a_drift_cancels_out() {
        let order = RefCell::new(String::new());
        // The machine gets slower with every turn; ours does half of what theirs does.
        let speed = |who: char| {
            order.borrow_mut().push(who);
            1_000.0 - order.borrow().len() as f64
        };
        let turns = Turns {
            blocks: 2,
            ..Turns::default()
        };
        let rivalry = turns
            .take(async |_| Ok(speed('a') / 2.0), async |_| Ok(speed('b')))
            .await
            .unwrap();
        assert_eq!(*order.borrow(), "abbaabba");
        assert!((rivalry.ratio.value - 0.5).abs() < 1e-12, "{rivalry:?}");
    }
}
