//! What many runs say together.

/// A mean, and how far off it may be.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Half the width of the 95 % confidence interval around it, by Student's t distribution; 0
    /// where there are less than two values.
    pub half_width: f64,
}

impl Estimate {
    /// Of values that were got independently of each other; 0 of none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.into_iter().collect();
        if values.is_empty() {
            return Self::default();
        }
        let count = f64::from(u32::try_from(values.len()).unwrap_or(u32::MAX));
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let freedom = values.len() - 1;
        let half_width = match freedom {
            0 => 0.0,
            freedom => quantile(freedom) * (squares / (count - 1.0) / count).sqrt(),
        };
        Self { mean, half_width }
    }

    /// The lower end of the interval.
    pub fn low(self) -> f64 {
        self.mean - self.half_width
    }

    /// The upper end of the interval.
    pub fn high(self) -> f64 {
        self.mean + self.half_width
    }
}

/// What Student's t exceeds, either way, with a probability of 5 %.
fn quantile(freedom: usize) -> f64 {
    const EXACT: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
        2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
        2.052, 2.048, 2.045, 2.042,
    ];
    // Beyond, the normal distribution and the first correction to it.
    let freedom_of = |freedom| f64::from(u32::try_from(freedom).unwrap_or(u32::MAX));
    EXACT.get(freedom - 1).copied().unwrap_or_else(|| 1.960 + 2.372 / freedom_of(freedom))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_what_the_tables_say() {
        let estimate = Estimate::of([1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!((estimate.mean - 3.0).abs() < 1e-9);
        // 2.776 · √(2.5 / 5)
        assert!((estimate.half_width - 1.963).abs() < 1e-3);
        assert!((estimate.low() + estimate.high() - 6.0).abs() < 1e-9);
    }

    #[test]
    fn one_value_has_no_interval_and_none_is_nothing() {
        assert_eq!(Estimate::of([7.0]), Estimate { mean: 7.0, half_width: 0.0 });
        assert_eq!(Estimate::of([]), Estimate::default());
    }

    #[test]
    fn many_values_are_as_good_as_normal() {
        assert!((quantile(31) - 2.040).abs() < 4e-3);
        assert!((quantile(1000) - 1.962).abs() < 1e-3);
    }
}
