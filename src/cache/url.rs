use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use percent_encoding::percent_decode_str;

use super::Error;
use super::options::{Options, UnreachableRead, UnreachableReserve};
use crate::store::{Access, Auth, Login};

/// What a URL names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `memory://`
    Memory,
    /// `aerospike://user:password@host:port,host:port/namespace/set`
    Aerospike { hosts: Vec<(String, u16)>, namespace: String, set: String },
}

/// Aerospike's own default for its service port.
const AEROSPIKE_PORT: u16 = 3000;

/// Takes a URL apart and its options over.
pub(super) fn parse(url: &str, options: &mut Options) -> Result<Target, Error> {
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
        set(options, &target, &name, &value)?;
    }
    Ok(target)
}

/// The URL itself is never repeated: it may hold a password.
fn malformed(problem: &str) -> Error {
    Error::invalid(
        "url",
        format!(
            "{problem}; expected memory://?options or aerospike://host:port/namespace/set?options"
        ),
    )
}

fn aerospike(rest: &str, access: &mut Access) -> Result<Target, Error> {
    let mut parts = rest.split('/');
    let (Some(hosts), Some(namespace), Some(set), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed("it must name hosts, namespace and set"));
    };
    if namespace.is_empty() || set.is_empty() {
        return Err(malformed("namespace and set must not be empty"));
    }
    let hosts = match hosts.rsplit_once('@') {
        Some((login, hosts)) => {
            access.login = Some(self::login(login)?);
            hosts
        }
        None => hosts,
    };
    let hosts = hosts.split(',').map(host).collect::<Result<_, _>>()?;
    Ok(Target::Aerospike { hosts, namespace: namespace.into(), set: set.into() })
}

/// A password may hold any character, percent-encoded where it would end the part it stands in.
fn login(text: &str) -> Result<Login, Error> {
    let decoded = |part| {
        percent_decode_str(part)
            .decode_utf8()
            .map(std::borrow::Cow::into_owned)
            .map_err(|_| malformed("user and password must be UTF-8, percent-encoded"))
    };
    match text.split_once(':') {
        Some((user, password)) if !user.is_empty() => {
            Ok(Login { user: decoded(user)?, password: decoded(password)? })
        }
        _ => Err(malformed("before the @ must stand user:password")),
    }
}

fn host(text: &str) -> Result<(String, u16), Error> {
    // An IPv6 address stands in brackets, as its own colons would look like the port's.
    let (name, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((address, port)) => (address, port.strip_prefix(':')),
        None => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    if name.is_empty() {
        return Err(malformed("a host must not be empty"));
    }
    let port = match port {
        None => AEROSPIKE_PORT,
        Some(port) => match port.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err(malformed("a port must be 1 to 65535")),
        },
    };
    Ok((name.into(), port))
}

const NAMES: &str = "ttl, ttl_jitter, negative_ttl, lease_time, reservation_time, \
    reservation_margin, wait, load_time, replica_lag, prefix, max_key_bytes, max_value_bytes, \
    attempts, unreachable_read, unreachable_reserve, for `memory://` max_bytes, and for \
    `aerospike://` auth, tls, tls_ca, tls_certificate, tls_key, tls_name, connect_timeout, \
    timeout, min_connections, max_connections, idle_time, max_errors, alternate_services, \
    address_map, seeds_only, background_connect";

fn set(options: &mut Options, target: &Target, name: &str, value: &str) -> Result<(), Error> {
    match name {
        "ttl" => options.ttl = span("ttl", value)?,
        "ttl_jitter" => options.ttl_jitter = number("ttl_jitter", value)?,
        "negative_ttl" => options.negative_ttl = span("negative_ttl", value)?,
        "lease_time" => options.lease_time = span("lease_time", value)?,
        "reservation_time" => options.reservation_time = span("reservation_time", value)?,
        "reservation_margin" => options.reservation_margin = span("reservation_margin", value)?,
        "wait" => options.wait = span("wait", value)?,
        "load_time" => options.load_time = span("load_time", value)?,
        "replica_lag" => options.replica_lag = span("replica_lag", value)?,
        "prefix" if value.contains(char::REPLACEMENT_CHARACTER) => {
            return Err(Error::invalid(
                "prefix",
                "must be UTF-8 in a URL; the builder takes any bytes",
            ));
        }
        "prefix" => options.prefix = value.into(),
        "max_key_bytes" => options.max_key_bytes = bytes("max_key_bytes", value)?,
        "max_value_bytes" => options.max_value_bytes = bytes("max_value_bytes", value)?,
        "attempts" => options.attempts = number("attempts", value)?,
        "unreachable_read" => {
            options.unreachable_read = match value {
                "bypass" => UnreachableRead::Bypass,
                "error" => UnreachableRead::Error,
                _ => return Err(Error::invalid("unreachable_read", "must be bypass or error")),
            }
        }
        "unreachable_reserve" => {
            options.unreachable_reserve = match value {
                "error" => UnreachableReserve::Error,
                "proceed" => UnreachableReserve::Proceed,
                _ => return Err(Error::invalid("unreachable_reserve", "must be error or proceed")),
            }
        }
        "max_bytes" if *target == Target::Memory => options.max_bytes = bytes("max_bytes", value)?,
        _ if *target != Target::Memory => set_access(&mut options.access, name, value)?,
        _ => return Err(unknown(name)),
    }
    Ok(())
}

fn set_access(access: &mut Access, name: &str, value: &str) -> Result<(), Error> {
    match name {
        "auth" => {
            access.auth = match value {
                "internal" => Auth::Internal,
                "external" => Auth::External,
                "pki" => Auth::Pki,
                _ => return Err(Error::invalid("auth", "must be internal, external or pki")),
            }
        }
        "tls" => access.tls = Some(switch("tls", value)?),
        "tls_ca" => access.tls_ca = Some(value.into()),
        "tls_certificate" => access.tls_certificate = Some(value.into()),
        "tls_key" => access.tls_key = Some(value.into()),
        "tls_name" => access.tls_name = Some(value.into()),
        "connect_timeout" => access.connect_timeout = span("connect_timeout", value)?,
        "timeout" => access.timeout = span("timeout", value)?,
        "max_connections" => access.max_connections = number("max_connections", value)?,
        "min_connections" => access.min_connections = number("min_connections", value)?,
        "idle_time" => access.idle_time = span("idle_time", value)?,
        "max_errors" => access.max_errors = number("max_errors", value)?,
        "alternate_services" => access.alternate_services = switch("alternate_services", value)?,
        "address_map" => access.address_map = address_map(value)?,
        "seeds_only" => access.seeds_only = switch("seeds_only", value)?,
        "background_connect" => access.background_connect = switch("background_connect", value)?,
        _ => return Err(unknown(name)),
    }
    Ok(())
}

fn switch(field: &'static str, value: &str) -> Result<bool, Error> {
    value.parse().map_err(|_| Error::invalid(field, "must be true or false"))
}

/// Pairs as `10.0.0.1=192.0.2.1,10.0.0.2=192.0.2.2`.
fn address_map(value: &str) -> Result<HashMap<String, String>, Error> {
    let pair = |pair: &str| {
        let (from, to) = pair.split_once('=')?;
        Some((from.to_owned(), to.to_owned()))
    };
    let pairs: Option<_> = value.split(',').map(pair).collect();
    let problem = "must be pairs as 10.0.0.1=192.0.2.1, with a comma between them";
    pairs.ok_or_else(|| Error::invalid("address_map", problem))
}

fn unknown(name: &str) -> Error {
    Error::invalid("url", format!("`{}` is no option; there are {NAMES}", shown(name)))
}

/// What is said back of an unknown option: enough to find it, and never a value.
fn shown(name: &str) -> String {
    name.chars().filter(|letter| !letter.is_control()).take(40).collect()
}

fn span(field: &'static str, value: &str) -> Result<Duration, Error> {
    humantime::parse_duration(value)
        .map_err(|problem| Error::invalid(field, format!("{problem}; write 500ms, 10s, 5m")))
}

fn number<T: FromStr<Err: Display>>(field: &'static str, value: &str) -> Result<T, Error> {
    value.parse().map_err(|problem: T::Err| Error::invalid(field, problem.to_string()))
}

fn bytes<T: TryFrom<u64>>(field: &'static str, value: &str) -> Result<T, Error> {
    let size: ByteSize =
        value.parse().map_err(|_| Error::invalid(field, "is no size; write 65536, 64KiB, 8MiB"))?;
    T::try_from(size.as_u64()).map_err(|_| Error::invalid(field, "is too large for this machine"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Result<(Target, Options), Error> {
        let mut options = Options::default();
        parse(url, &mut options).map(|target| (target, options))
    }

    #[test]
    fn every_option_that_is_named_in_the_error_can_be_set() {
        let url = "memory://?ttl=1m&ttl_jitter=0.2&negative_ttl=20s&lease_time=1s\
            &reservation_time=5s&reservation_margin=100ms&wait=0s&load_time=10s&replica_lag=1s\
            &prefix=a%3Ab&max_key_bytes=10&max_value_bytes=1KiB&attempts=1&unreachable_read=error\
            &unreachable_reserve=proceed&max_bytes=1MiB";
        let (_, options) = parsed(url).unwrap();
        assert_eq!(options.ttl, Duration::from_secs(60));
        assert_eq!(options.prefix, b"a:b");
        assert_eq!(options.max_bytes, 1 << 20);
        assert_eq!(options.unreachable_reserve, UnreachableReserve::Proceed);
        let other = "aerospike://a/test/set?connect_timeout=2s&timeout=50ms&max_connections=7&max_errors=9\
            &auth=pki&tls=true&tls_ca=%2Fca&tls_certificate=/chain&tls_key=/key&tls_name=n\
            &min_connections=3&idle_time=50s&alternate_services=true&seeds_only=true\
            &address_map=10.0.0.1=192.0.2.1,10.0.0.2=192.0.2.2&background_connect=true";
        let (_, Options { access, .. }) = parsed(other).unwrap();
        assert_eq!(access.connect_timeout, Duration::from_secs(2));
        assert_eq!(access.timeout, Duration::from_millis(50));
        assert_eq!((access.max_connections, access.max_errors), (7, 9));
        assert_eq!((access.auth, access.tls), (Auth::Pki, Some(true)));
        assert_eq!((access.min_connections, access.idle_time), (3, Duration::from_secs(50)));
        assert!(access.alternate_services && access.seeds_only && access.background_connect);
        assert_eq!(access.address_map["10.0.0.2"], "192.0.2.2");
        assert_eq!(access.tls_ca, Some("/ca".into()));
        assert_eq!(access.tls_certificate, Some("/chain".into()));
        assert_eq!(access.tls_key, Some("/key".into()));
        assert_eq!(access.tls_name, Some("n".into()));
        for name in NAMES.split([',', ' ']).filter(|word| word.contains('_')) {
            assert!(url.contains(name) || other.contains(name), "{name} is not tried here");
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
            let error = parsed(url).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{url}: {error}");
            assert!(
                error.contains("must be")
                    || error.contains("expected")
                    || error.contains("write")
                    || error.contains("there are")
                    || error.contains("invalid"),
                "{url}: {error}"
            );
        }
    }
}
