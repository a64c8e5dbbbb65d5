//! How long the messages are. In: `20`, `16..1024`, `lognormal:MEDIAN,SIGMA` or `@FILE`. Out: a table of
//! sizes that every connection goes through, each from a place of its own.
//!
//! Never: sends.

use std::fmt;
use std::fs;
use std::str::FromStr;

/// Bytes of a message, at most.
pub(crate) const SIZE_BYTES_MAX: u32 = 16 << 20;

/// Sizes that are drawn before the run for a distribution; then they come round again.
const DRAWN: usize = 4096;

/// Lines that a file of sizes may have.
const LINES_MAX: usize = 1 << 20;

/// The distribution of sizes, in bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sizes {
    /// All alike.
    Fixed(u32),
    /// Every size of the range as likely, both ends included.
    Uniform(u32, u32),
    /// The logarithm is normal with this standard deviation; half are below the median. Cut at
    /// [`SIZE_BYTES_MAX`].
    LogNormal { median: u32, sigma: f64 },
    /// In the order of the lines of this file.
    File(String),
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(file) = text.strip_prefix('@') {
            return Ok(Self::File(file.to_owned()));
        }
        if let Some(parameters) = text.strip_prefix("lognormal:") {
            let (median, sigma) = parameters
                .split_once(',')
                .ok_or("expected lognormal:MEDIAN,SIGMA")?;
            let sigma: f64 = sigma.parse().map_err(|_| "SIGMA is no number")?;
            if !(0.0..=10.0).contains(&sigma) {
                return Err("SIGMA is not from 0 to 10".to_owned());
            }
            let median = size(median)?;
            return Ok(Self::LogNormal { median, sigma });
        }
        if let Some((min, max)) = text.split_once("..") {
            let (min, max) = (size(min)?, size(max)?);
            if min > max {
                return Err(format!("{min} is more than {max}"));
            }
            return Ok(Self::Uniform(min, max));
        }
        size(text).map(Self::Fixed)
    }
}

fn size(text: &str) -> Result<u32, String> {
    match text.trim().parse() {
        Ok(size) if size <= SIZE_BYTES_MAX => Ok(size),
        Ok(_) => Err(format!("{text} is more than {SIZE_BYTES_MAX} bytes")),
        Err(_) => Err(format!("'{text}' is no number of bytes")),
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => write!(f, "{size} B"),
            Self::Uniform(min, max) => write!(f, "{min}..{max} B"),
            Self::LogNormal { median, sigma } => {
                write!(f, "log-normal {median} B (sigma {sigma})")
            }
            Self::File(file) => write!(f, "sizes of {file}"),
        }
    }
}

impl Sizes {
    /// The sizes to go through.
    ///
    /// # Errors
    ///
    /// A sentence that names the file and the line that is wrong.
    pub(crate) fn table(&self, random: &mut fastrand::Rng) -> Result<Vec<u32>, String> {
        let drawn =
            |draw: &mut dyn FnMut() -> u32| std::iter::repeat_with(draw).take(DRAWN).collect();
        Ok(match self {
            Self::Fixed(size) => vec![*size],
            Self::Uniform(min, max) => drawn(&mut || random.u32(*min..=*max)),
            Self::LogNormal { median, sigma } => {
                drawn(&mut || log_normal(f64::from(*median), *sigma, random))
            }
            Self::File(file) => return read(file),
        })
    }
}

/// One size; by Box and Muller's transform.
fn log_normal(median: f64, sigma: f64, random: &mut fastrand::Rng) -> u32 {
    let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
    let normal = radius * (std::f64::consts::TAU * random.f64()).cos();
    let size = (median * (sigma * normal).exp()).min(f64::from(SIZE_BYTES_MAX));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to SIZE_BYTES_MAX"
    )]
    let size = size.round() as u32;
    size
}

fn read(file: &str) -> Result<Vec<u32>, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let sizes = text
        .lines()
        .enumerate()
        .map(|(at, line)| size(line).map_err(|error| format!("{file}, line {}: {error}", at + 1)))
        .collect::<Result<Vec<u32>, String>>()?;
    match sizes.len() {
        0 => Err(format!("{file} is empty")),
        1..=LINES_MAX => Ok(sizes),
        lines => Err(format!("{file} has {lines} lines, more than {LINES_MAX}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_understood() {
        for (text, sizes) in [
            ("20", Sizes::Fixed(20)),
            ("16..1024", Sizes::Uniform(16, 1024)),
            (
                "lognormal:100,0.8",
                Sizes::LogNormal {
                    median: 100,
                    sigma: 0.8,
                },
            ),
            ("@sizes.txt", Sizes::File("sizes.txt".to_owned())),
        ] {
            assert_eq!(text.parse(), Ok(sizes), "{text}");
        }
        for text in [
            "",
            "-1",
            "x",
            "5..4",
            "1..",
            "16777217",
            "lognormal:5",
            "lognormal:5,-1",
            "lognormal:5,x",
        ] {
            assert!(text.parse::<Sizes>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_drawn_follows_the_distribution() {
        let mut random = fastrand::Rng::with_seed(7);
        let uniform = Sizes::Uniform(10, 20).table(&mut random).expect("no file");
        assert!(uniform.iter().all(|size| (10..=20).contains(size)));
        assert!(uniform.contains(&10) && uniform.contains(&20));

        let log_normal = Sizes::LogNormal {
            median: 100,
            sigma: 1.0,
        };
        let mut sizes = log_normal.table(&mut random).expect("no file");
        sizes.sort_unstable();
        let at = |thousandths: usize| sizes[sizes.len() * thousandths / 1_000];
        // One standard deviation up is a factor of e.
        assert!((90..110).contains(&at(500)), "{}", at(500));
        assert!((245..300).contains(&at(841)), "{}", at(841));
    }

    #[test]
    fn a_file_gives_its_lines_or_the_line_that_is_wrong() {
        let file = std::env::temp_dir().join(format!("sizes-{}", std::process::id()));
        let name = file.to_str().expect("the path is UTF-8").to_owned();
        let table = |text: &str| {
            fs::write(&file, text).expect("the folder is writable");
            Sizes::File(name.clone()).table(&mut fastrand::Rng::new())
        };
        assert_eq!(table("3\n1\n"), Ok(vec![3, 1]));
        let error = table("3\n?\n").expect_err("a question mark is no size");
        assert!(error.contains("line 2"), "{error}");
        assert!(table("").is_err());
        fs::remove_file(&file).expect("it is ours");
        assert!(
            Sizes::File(name.clone())
                .table(&mut fastrand::Rng::new())
                .is_err()
        );
    }
}
