//! A claim beside its measurement.

use super::format;
use crate::report::schema::ClaimCheck;

/// A claim beside its measurement.
pub struct ClaimView {
    /// In our words.
    pub text: String,
    /// `× 13.2`
    pub claimed: String,
    /// `× 605 (590 … 621)`
    pub measured: String,
    /// Scenario, metric, arms.
    pub measured_as: String,
    /// The verdict, or `not measured`.
    pub verdict: &'static str,
    /// Its style class.
    pub class: &'static str,
    /// Why.
    pub reason: String,
    /// Position of the claimed and the measured ratio on a shared logarithmic scale, in percent.
    pub bars: Option<(String, String)>,
}

/// Prepares a claim.
pub fn claim_view(check: &ClaimCheck) -> ClaimView {
    let verdict = check.verdict.map_or("not measured", |verdict| verdict.as_str());
    let bars = check.measured.map(|[measured, ..]| {
        let longest = measured.max(check.claim.ratio).max(2.0).ln();
        let width = |ratio: f64| format!("{:.1}", (ratio.max(1.0).ln() / longest * 100.0).clamp(0.5, 100.0));
        (width(check.claim.ratio), width(measured))
    });
    ClaimView {
        text: check.claim.text.clone(),
        claimed: format::times(check.claim.ratio),
        measured: check.measured.map_or_else(
            || "–".to_owned(),
            |[value, low, high]| {
                let spread = if low == high {
                    "counted".into()
                } else {
                    format::interval([low, high])
                };
                format!("{} ({spread})", format::times(value))
            },
        ),
        measured_as: check.measured_as.clone(),
        verdict,
        class: match verdict {
            "confirmed" => "better",
            "misleading" => "worse",
            _ => "same",
        },
        reason: check.reason.clone(),
        bars,
    }
}
