use percent_encoding::percent_decode_str;

use super::{Access, Invalid, Login, Of, Options};

/// What a URL names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// `memory://`
    Memory,
    /// `aerospike://user:password@host:port,host:port/namespace/set`
    Aerospike { hosts: Vec<(String, u16)>, namespace: String, set: String },
}

impl Target {
    pub fn store(&self) -> Of {
        match self {
            Target::Memory => Of::memory,
            Target::Aerospike { .. } => Of::aerospike,
        }
    }
}

/// Aerospike's own default for its service port.
const AEROSPIKE_PORT: u16 = 3000;

/// Takes a URL apart and its options over.
pub(crate) fn parse(url: &str, options: &mut Options) -> Result<Target, Invalid> {
    let (rest, query) = url.split_once('?').unwrap_or((url, ""));
    let target = if let Some(rest) = rest.strip_prefix("memory://") {
        if !rest.is_empty() {
            return Err(malformed("`memory://` takes no host and no path"));
        }
        Target::Memory
    } else if let Some(rest) = rest.strip_prefix("aerospike://") {
        aerospike(rest, &mut options.access)?
    } else {
        return Err(malformed("it must begin with `memory://` or `aerospike://`"));
    };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        set(options, target.store(), &name, &value)?;
    }
    Ok(target)
}

/// The URL itself is never repeated: it may hold a password.
fn malformed(problem: &str) -> Invalid {
    Invalid::new(
        "url",
        format!(
            "{problem}; expected memory://?options or aerospike://host:port/namespace/set?options"
        ),
    )
}

fn aerospike(rest: &str, access: &mut Access) -> Result<Target, Invalid> {
    let mut parts = rest.split('/');
    let (Some(hosts), Some(namespace), Some(set), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed("it must name hosts, namespace and set"));
    };
    if namespace.is_empty() || set.is_empty() {
        return Err(malformed("namespace and set must not be empty"));
    }
    let hosts = self::hosts(hosts, ',', access).map_err(malformed)?;
    Ok(Target::Aerospike { hosts, namespace: namespace.into(), set: set.into() })
}

/// Takes `user:password@host:port,host:port` apart.
///
/// # Errors
/// What is wrong, in words that hold nothing of the text.
pub(super) fn hosts(
    text: &str,
    between: char,
    access: &mut Access,
) -> Result<Vec<(String, u16)>, &'static str> {
    let hosts = match text.rsplit_once('@') {
        Some((login, hosts)) => {
            access.login = Some(self::login(login)?);
            hosts
        }
        None => text,
    };
    hosts.split(between).map(host).collect()
}

/// A password may hold any character, percent-encoded where it would end the part it stands in.
fn login(text: &str) -> Result<Login, &'static str> {
    let decoded = |part| {
        percent_decode_str(part)
            .decode_utf8()
            .map(std::borrow::Cow::into_owned)
            .map_err(|_| "user and password must be UTF-8, percent-encoded")
    };
    match text.split_once(':') {
        Some((user, password)) if !user.is_empty() => {
            Ok(Login { user: decoded(user)?, password: decoded(password)? })
        }
        _ => Err("before the @ must stand user:password"),
    }
}

fn host(text: &str) -> Result<(String, u16), &'static str> {
    // An IPv6 address stands in brackets, as its own colons would look like the port's.
    let (name, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((address, port)) => (address, port.strip_prefix(':')),
        None => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    if name.is_empty() {
        return Err("a host must not be empty");
    }
    let port = match port {
        None => AEROSPIKE_PORT,
        Some(port) => match port.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err("a port must be 1 to 65535"),
        },
    };
    Ok((name.into(), port))
}

/// Sets one option, of the cache or of the way to its cluster.
fn set(options: &mut Options, store: Of, name: &str, value: &str) -> Result<(), Invalid> {
    let mut all = Options::NAMES.iter().chain(Access::NAMES);
    match all.find(|(known, _)| *known == name) {
        Some((_, of)) if *of == Of::any || *of == store => {
            if !options.set(name, value)? {
                options.access.set(name, value)?;
            }
            Ok(())
        }
        Some((name, Of::memory)) => Err(elsewhere(name, "memory")),
        Some((name, _)) => Err(elsewhere(name, "aerospike")),
        None => Err(unknown(store, name)),
    }
}

fn elsewhere(name: &'static str, store: &str) -> Invalid {
    Invalid::new(name, format!("is an option of {store}:// alone; leave it out"))
}

fn unknown(store: Of, name: &str) -> Invalid {
    let all = Options::NAMES.iter().chain(Access::NAMES);
    let valid = all.filter(|(_, of)| *of == Of::any || *of == store);
    let valid: Vec<&str> = valid.map(|(name, _)| *name).collect();
    let problem = format!("unknown option {:?}; valid options: {}", shown(name), valid.join(", "));
    Invalid::new("url", problem)
}

/// What is said back of an unknown option: enough to find it, and never a value.
fn shown(name: &str) -> String {
    name.chars().filter(|letter| !letter.is_control()).take(40).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::settings::{Auth, UnreachableReserve};

    fn parsed(url: &str) -> Result<(Target, Options), Invalid> {
        let mut options = Options::default();
        parse(url, &mut options).map(|target| (target, options))
    }

    #[test]
    fn every_option_that_is_named_in_the_error_can_be_set() {
        let url = "memory://?ttl=1m&ttl_jitter=0.2&negative_ttl=20s&lease_time=1s\
            &reservation_time=5s&reservation_margin=100ms&wait=0s&load_time=10s&replica_lag=1s\
            &prefix=a%3Ab&max_key_bytes=10&max_value_bytes=1KiB&attempts=1&unreachable_read=error\
            &unreachable_reserve=proceed&max_bytes=1MiB&region=eu&fence=all&unreachable=wait&push=true&stream_bound=3s&grantors=eu&serving_lease=4s&homes=eu,us&homes_phase=read\
            &near=1s&near_max=2s&near_bytes=1MiB&tags=true&refresh_at=0.8&stale_for=1h&stale_bytes=1MiB&soft_timeout=1s&hard_timeout=9s";
        let (_, options) = parsed(url).unwrap();
        assert_eq!(options.ttl, Duration::from_secs(60));
        assert_eq!(options.prefix, b"a:b");
        assert_eq!(options.max_bytes, 1 << 20);
        assert_eq!(options.unreachable_reserve, UnreachableReserve::Proceed);
        let other = "aerospike://a/test/set?connect_timeout=2s&timeout=50ms&max_connections=7&max_errors=9\
            &auth=pki&tls=true&tls_ca=%2Fca&tls_certificate=/chain&tls_key=/key&tls_name=n\
            &min_connections=3&idle_time=50s&alternate_services=true&seeds_only=true&merge=false&merge_messages=7&cluster_guard=strict&cluster_guard_time=2s&cluster_size=3\
            &address_map=10.0.0.1=192.0.2.1,10.0.0.2=192.0.2.2&background_connect=true&peers=eu@a,us@b";
        let (_, Options { access, .. }) = parsed(other).unwrap();
        assert_eq!(access.connect_timeout, Duration::from_secs(2));
        assert_eq!(access.timeout, Duration::from_millis(50));
        assert_eq!((access.max_connections, access.max_errors), (7, 9));
        assert_eq!((access.auth, access.tls), (Auth::Pki, Some(true)));
        assert_eq!((access.min_connections, access.idle_time), (3, Duration::from_secs(50)));
        assert!(
            access.alternate_services
                && access.seeds_only
                && access.background_connect
                && !access.merge
        );
        assert_eq!(access.address_map["10.0.0.2"], "192.0.2.2");
        assert_eq!(access.tls_ca, Some("/ca".into()));
        assert_eq!(access.tls_certificate, Some("/chain".into()));
        assert_eq!(access.tls_key, Some("/key".into()));
        assert_eq!(access.tls_name, Some("n".into()));
        for (name, _) in Options::NAMES.iter().chain(Access::NAMES) {
            let given = format!("{name}=");
            assert!(url.contains(&given) || other.contains(&given), "{name} is not tried here");
        }
    }

    #[test]
    fn hosts_with_and_without_ports_are_taken_apart() {
        let (target, _) = parsed("aerospike://a:3100,b,[::1]:9/test/cache").unwrap();
        let hosts = vec![("a".into(), 3100), ("b".into(), 3000), ("::1".into(), 9)];
        let (namespace, set) = ("test".into(), "cache".into());
        assert_eq!(target, Target::Aerospike { hosts, namespace, set });
    }

    #[test]
    fn a_login_may_hold_any_character() {
        let (target, options) = parsed("aerospike://ada:p%40ss%3A%2F%2C@a/test/cache").unwrap();
        let Target::Aerospike { hosts, .. } = target else { panic!("not Aerospike") };
        assert!(!format!("{options:?}").contains("p@ss"));
        let login = options.access.login.unwrap();
        assert_eq!((&*login.user, &*login.password), ("ada", "p@ss:/,"));
        assert_eq!(hosts, [("a".into(), 3000)]);
    }

    #[test]
    fn a_malformed_url_is_an_error_that_says_what_is_expected_and_keeps_the_secret() {
        for url in [
            "",
            "memory",
            "redis://secret@x",
            "memory://secret",
            "memory:///secret",
            "aerospike://secret",
            "aerospike://secret/test",
            "aerospike://secret/test/",
            "aerospike://secret/test/set/more",
            "aerospike:///test/set",
            "aerospike://a:secret/test/set",
            "aerospike://a:70000/test/set",
            "aerospike://a:0/test/set",
            "memory://?prefix=secret%FF",
            "memory://?ttl=secret",
            "memory://?ttl",
            "memory://?what=secret",
            "memory://?attempts=-1",
            "memory://?max_bytes=secret",
            "memory://?unreachable_read=secret",
            "memory://?unreachable_reserve=secret",
            "aerospike://a/test/set?max_bytes=1MiB",
            "aerospike://secret@a/test/set",
            "aerospike://:secret@a/test/set",
            "aerospike://ada:secret%ff@a/test/set",
            "aerospike://ada:secret@/test/set",
            "memory://?timeout=1s",
            "memory://?tls_ca=secret",
            "memory://?auth=internal",
            "aerospike://a/test/set?tls=secret",
            "aerospike://a/test/set?auth=secret",
            "aerospike://a/test/set?seeds_only=secret",
            "aerospike://a/test/set?address_map=secret",
            "memory://?background_connect=true",
        ] {
            let Invalid { field, problem } = parsed(url).unwrap_err();
            let error = format!("{field}: {problem}");
            assert!(!error.contains("secret"), "{url}: {error}");
            assert!(
                error.contains("must be")
                    || error.contains("expected")
                    || error.contains("write")
                    || error.contains("valid options")
                    || error.contains("is an option of")
                    || error.contains("invalid"),
                "{url}: {error}"
            );
        }
    }
}
