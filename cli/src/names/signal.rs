// SPDX-License-Identifier: MIT OR Apache-2.0

//! Signals, by name and by number.

/// The kernel's first real-time signal.
const KERNEL_RTMIN: u32 = linux_raw_sys::general::SIGRTMIN;

/// The first real-time signal that C libraries leave to programs; `kill -l` calls it `RTMIN`.
const RTMIN: u32 = KERNEL_RTMIN + 2;

/// The last signal (`_NSIG` in the kernel).
pub const MAX: u32 = 64;

macro_rules! signals {
    ($($name:ident)*) => {
        static NAMES: &[(&str, u32)] = &[$((stringify!($name), linux_raw_sys::general::$name)),*];
    };
}

signals! {
    SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2
    SIGPIPE SIGALRM SIGTERM SIGSTKFLT SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG
    SIGXCPU SIGXFSZ SIGVTALRM SIGPROF SIGWINCH SIGIO SIGPWR SIGSYS SIGIOT SIGPOLL
}

/// The number of a signal: `9`, `KILL`, `SIGKILL`, `kill`, `RTMIN+3`, `RTMAX-1`; 0 asks whether
/// the process exists.
pub fn number(text: &str) -> Option<u32> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|number| *number <= MAX);
    }
    let upper = text.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(rest) = short.strip_prefix("RTMIN") {
        return offset(rest, '+')
            .map(|by| RTMIN + by)
            .filter(|number| *number <= MAX);
    }
    if let Some(rest) = short.strip_prefix("RTMAX") {
        return offset(rest, '-')
            .map(|by| MAX.saturating_sub(by))
            .filter(|n| *n >= RTMIN);
    }
    if let Some(rest) = short.strip_prefix("RT_") {
        let by: u32 = rest.parse().ok()?;
        return KERNEL_RTMIN.checked_add(by).filter(|number| *number <= MAX);
    }
    NAMES
        .iter()
        .find(|(name, _)| &name[3..] == short)
        .map(|(_, number)| *number)
}

/// The distance in `RTMIN+3`, 0 where there is none.
fn offset(text: &str, sign: char) -> Option<u32> {
    if text.is_empty() {
        return Some(0);
    }
    text.strip_prefix(sign)?
        .parse()
        .ok()
        .filter(|by| *by <= MAX)
}

/// A signal as strace prints it: `SIGKILL`, `SIGRT_2`, `0`.
pub fn show(number: u32) -> String {
    match NAMES.iter().find(|(_, value)| *value == number) {
        Some((name, _)) => (*name).to_owned(),
        None if (KERNEL_RTMIN..=MAX).contains(&number) => {
            format!("SIGRT_{}", number - KERNEL_RTMIN)
        }
        // As the signed number that the kernel takes it for.
        None => (number as i32).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn signals_go_by_number_and_name() {
        for text in ["9", "KILL", "SIGKILL", "kill", "sigkill"] {
            assert_eq!(number(text), Some(9), "{text}");
        }
        assert_eq!(number("0"), Some(0));
        assert_eq!(number("RTMIN"), Some(34));
        assert_eq!(number("RTMIN+1"), Some(35));
        assert_eq!(number("RTMAX-1"), Some(63));
        for text in [
            "65",
            "SIGNONE",
            "",
            "RTMIN-1",
            "RTMIN+31",
            "RTMAX-31",
            "-9",
            "99999999999",
        ] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn every_signal_reads_back() {
        for signal in 0..=MAX {
            assert_eq!(number(&show(signal)), Some(signal), "{}", show(signal));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text: String) {
            let _ = number(&text);
            let _ = number(&format!("RTMIN+{text}"));
        }
    }
}
