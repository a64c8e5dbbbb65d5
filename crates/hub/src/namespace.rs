//! What a channel is allowed and keeps (PROTOCOL.md, "Channels"). In: options by namespace, from the
//! config. Out: the options of a channel.
//!
//! Never: knows a connection; decides what a token allows beyond this.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::channel::Channel;
use crate::history::Retention;
use crate::limits::HISTORY_SIZE_MAX;

/// What happens to a subscriber that reads more slowly than its channel is published to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SlowReader {
    /// It is closed with 3008 once what waits for it is past its cap.
    #[default]
    Close,
    /// The oldest publications that wait for it are dropped.
    DropOldest,
    /// Only the latest publication ever waits for it, however few bytes that are.
    Conflate,
}

/// What a subscriber that recovers is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RecoveryMode {
    /// Everything that it has missed.
    #[default]
    Stream,
    /// The latest publication, if it has not got that.
    Cache,
}

/// The options of a namespace. Field names are the config's keys; the default allows and keeps nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelOptions {
    /// Publications that a channel keeps; 0: none, and publications have no offset.
    pub history_size: u32,
    /// How long it keeps each.
    pub history_ttl: Duration,
    /// How long epoch and top offset outlive the last publication and the last subscriber.
    pub history_meta_ttl: Duration,
    /// Every subscription is positioned.
    pub force_positioning: bool,
    /// Every subscription is positioned and may recover.
    pub force_recovery: bool,
    /// What whoever recovers is given.
    pub force_recovery_mode: RecoveryMode,
    /// Who is subscribed can be asked.
    pub presence: bool,
    /// Subscribers may ask to be told who comes and goes.
    pub join_leave: bool,
    /// Subscribers are told without asking.
    pub force_push_join_leave: bool,
    /// A client with a user may subscribe.
    pub allow_subscribe_for_client: bool,
    /// With it, so may an anonymous one.
    pub allow_subscribe_for_anonymous: bool,
    /// A subscriber with a user may publish.
    pub allow_publish_for_subscriber: bool,
    /// A client with a user may publish.
    pub allow_publish_for_client: bool,
    /// With either, so may an anonymous one.
    pub allow_publish_for_anonymous: bool,
    /// A subscriber with a user may ask for presence.
    pub allow_presence_for_subscriber: bool,
    /// A client with a user may ask for presence.
    pub allow_presence_for_client: bool,
    /// With either, so may an anonymous one.
    pub allow_presence_for_anonymous: bool,
    /// A subscriber with a user may read history.
    pub allow_history_for_subscriber: bool,
    /// A client with a user may read history.
    pub allow_history_for_client: bool,
    /// With either, so may an anonymous one.
    pub allow_history_for_anonymous: bool,
    /// What happens to slow readers.
    pub slow_reader: SlowReader,
}

/// Who asks, as far as [`ChannelOptions`] care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// It has no user.
    pub is_anonymous: bool,
    /// It is subscribed to the channel that it asks about.
    pub is_subscribed: bool,
}

impl ChannelOptions {
    /// Whether publications have offsets: whoever subscribes may be positioned.
    #[must_use]
    pub const fn has_history(&self) -> bool {
        self.history_size > 0
    }

    /// Whether every subscription is positioned, asked or not.
    #[must_use]
    pub const fn forces_positions(&self) -> bool {
        self.force_positioning || self.force_recovery
    }

    /// What an [`Engine`](crate::Engine) is to keep; none without history.
    #[must_use]
    pub const fn retention(&self) -> Option<Retention> {
        if !self.has_history() {
            return None;
        }
        Some(Retention {
            size: self.history_size,
            ttl: self.history_ttl,
            meta_ttl: self.history_meta_ttl,
        })
    }

    /// Whether the namespace alone, without a token, lets `asker` subscribe.
    #[must_use]
    pub const fn allows_subscribe(&self, asker: Asker) -> bool {
        self.allow_subscribe_for_client
            && (!asker.is_anonymous || self.allow_subscribe_for_anonymous)
    }

    /// Whether `asker` may publish.
    #[must_use]
    pub const fn allows_publish(&self, asker: Asker) -> bool {
        let allowed = self.allow_publish_for_client
            || (self.allow_publish_for_subscriber && asker.is_subscribed);
        allowed && (!asker.is_anonymous || self.allow_publish_for_anonymous)
    }

    /// Whether `asker` may ask for presence.
    #[must_use]
    pub const fn allows_presence(&self, asker: Asker) -> bool {
        let allowed = self.allow_presence_for_client
            || (self.allow_presence_for_subscriber && asker.is_subscribed);
        allowed && (!asker.is_anonymous || self.allow_presence_for_anonymous)
    }

    /// Whether `asker` may read history.
    #[must_use]
    pub const fn allows_history(&self, asker: Asker) -> bool {
        let allowed = self.allow_history_for_client
            || (self.allow_history_for_subscriber && asker.is_subscribed);
        allowed && (!asker.is_anonymous || self.allow_history_for_anonymous)
    }

    /// # Errors
    ///
    /// Every [`OptionsError`]: the operator's fault.
    pub fn validate(&self) -> Result<(), OptionsError> {
        if self.history_size > HISTORY_SIZE_MAX {
            return Err(OptionsError::HistoryTooLarge);
        }
        if self.has_history() == self.history_ttl.is_zero() {
            return Err(OptionsError::HistoryHalfSet);
        }
        if self.history_meta_ttl < self.history_ttl {
            return Err(OptionsError::MetaTtlTooShort);
        }
        if self.forces_positions() && !self.has_history() {
            return Err(OptionsError::PositionsWithoutHistory);
        }
        if self.force_recovery_mode != RecoveryMode::Stream && !self.has_history() {
            return Err(OptionsError::CacheWithoutHistory);
        }
        if self.slow_reader != SlowReader::Close && self.has_history() {
            return Err(OptionsError::LossyWithHistory);
        }
        if self.force_push_join_leave && !self.join_leave {
            return Err(OptionsError::PushWithoutJoinLeave);
        }
        Ok(())
    }
}

/// Which options contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionsError {
    /// `history_size` is past [`HISTORY_SIZE_MAX`].
    HistoryTooLarge,
    /// One of `history_size` and `history_ttl` is set and the other is not.
    HistoryHalfSet,
    /// `history_meta_ttl` is shorter than `history_ttl`: publications would outlive their epoch.
    MetaTtlTooShort,
    /// `force_positioning` or `force_recovery` without history: there are no offsets.
    PositionsWithoutHistory,
    /// `force_recovery_mode` without history: there is no latest publication.
    CacheWithoutHistory,
    /// `slow_reader` may lose publications, but with history subscribers may be positioned, and the
    /// SDKs would not notice.
    LossyWithHistory,
    /// `force_push_join_leave` without `join_leave`.
    PushWithoutJoinLeave,
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HistoryTooLarge => write!(f, "history_size is at most {HISTORY_SIZE_MAX}"),
            Self::HistoryHalfSet => {
                f.write_str("history_size and history_ttl are set together or not at all")
            }
            Self::MetaTtlTooShort => {
                f.write_str("history_meta_ttl is at least as long as history_ttl")
            }
            Self::PositionsWithoutHistory => f.write_str(
                "force_positioning and force_recovery need history_size and history_ttl",
            ),
            Self::CacheWithoutHistory => {
                f.write_str("force_recovery_mode needs history_size and history_ttl")
            }
            Self::LossyWithHistory => f.write_str(
                "slow_reader loses publications, which channels with history do not allow",
            ),
            Self::PushWithoutJoinLeave => f.write_str("force_push_join_leave needs join_leave"),
        }
    }
}

impl std::error::Error for OptionsError {}

/// A namespace that no config names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownNamespace;

impl fmt::Display for UnknownNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the channel's namespace is not in the config")
    }
}

impl std::error::Error for UnknownNamespace {}

/// Why a namespace can't be in the config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NamespaceError {
    /// A name is made of ASCII letters, digits, `_`, `-` and `.`, and of one at least.
    BadName,
    /// The name is there already.
    Twice,
    /// Its options contradict each other.
    Options(OptionsError),
}

impl fmt::Display for NamespaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName => {
                f.write_str("a namespace is named with letters, digits, `_`, `-`, `.`")
            }
            Self::Twice => f.write_str("the namespace is there twice"),
            Self::Options(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for NamespaceError {}

/// The options of every channel that the config knows. Immutable once shared: a reload makes another.
#[derive(Clone, Debug, Default)]
pub struct Namespaces {
    unnamed: Option<Arc<ChannelOptions>>,
    named: HashMap<Box<str>, Arc<ChannelOptions>>,
    any: Option<Arc<ChannelOptions>>,
}

impl Namespaces {
    /// Sets the options of channels without a namespace. Until then there are no such channels.
    ///
    /// # Errors
    ///
    /// [`NamespaceError::Options`].
    pub fn set_unnamed(&mut self, options: ChannelOptions) -> Result<(), NamespaceError> {
        self.unnamed = Some(valid(options)?);
        Ok(())
    }

    /// Adds a namespace.
    ///
    /// # Errors
    ///
    /// Every [`NamespaceError`].
    pub fn add(&mut self, name: &str, options: ChannelOptions) -> Result<(), NamespaceError> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        if name.is_empty() || !name.bytes().all(legal) {
            return Err(NamespaceError::BadName);
        }
        if self.named.contains_key(name) {
            return Err(NamespaceError::Twice);
        }
        self.named.insert(name.into(), valid(options)?);
        Ok(())
    }

    /// Sets the options of every channel that has no others, whatever its namespace: `--dev`.
    ///
    /// # Errors
    ///
    /// [`NamespaceError::Options`].
    pub fn set_any(&mut self, options: ChannelOptions) -> Result<(), NamespaceError> {
        self.any = Some(valid(options)?);
        Ok(())
    }

    /// The options of `channel`.
    ///
    /// # Errors
    ///
    /// [`UnknownNamespace`]: error 102 to a client.
    pub fn resolve(&self, channel: &Channel) -> Result<&Arc<ChannelOptions>, UnknownNamespace> {
        let own = match channel.namespace() {
            None => self.unnamed.as_ref(),
            Some(name) => self.named.get(name),
        };
        own.or(self.any.as_ref()).ok_or(UnknownNamespace)
    }
}

fn valid(options: ChannelOptions) -> Result<Arc<ChannelOptions>, NamespaceError> {
    options.validate().map_err(NamespaceError::Options)?;
    Ok(Arc::new(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_history() -> ChannelOptions {
        ChannelOptions {
            history_size: 10,
            history_ttl: Duration::from_secs(60),
            history_meta_ttl: Duration::from_secs(600),
            ..ChannelOptions::default()
        }
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        assert_eq!(ChannelOptions::default().validate(), Ok(()));
        assert_eq!(with_history().validate(), Ok(()));
        let refused = |change: fn(&mut ChannelOptions)| {
            let mut options = with_history();
            change(&mut options);
            options.validate().unwrap_err()
        };
        assert_eq!(
            refused(|o| o.history_size = HISTORY_SIZE_MAX + 1),
            OptionsError::HistoryTooLarge
        );
        assert_eq!(
            refused(|o| o.history_size = 0),
            OptionsError::HistoryHalfSet
        );
        assert_eq!(
            refused(|o| o.history_ttl = Duration::ZERO),
            OptionsError::HistoryHalfSet
        );
        assert_eq!(
            refused(|o| o.history_meta_ttl = Duration::from_secs(59)),
            OptionsError::MetaTtlTooShort
        );
        assert_eq!(
            refused(|o| {
                *o = ChannelOptions {
                    force_recovery: true,
                    ..ChannelOptions::default()
                }
            }),
            OptionsError::PositionsWithoutHistory
        );
        for lossy in [SlowReader::DropOldest, SlowReader::Conflate] {
            let options = ChannelOptions {
                slow_reader: lossy,
                ..with_history()
            };
            assert_eq!(options.validate(), Err(OptionsError::LossyWithHistory));
            let without = ChannelOptions {
                slow_reader: lossy,
                ..ChannelOptions::default()
            };
            assert_eq!(without.validate(), Ok(()));
        }
        assert_eq!(
            refused(|o| o.force_push_join_leave = true),
            OptionsError::PushWithoutJoinLeave
        );
    }

    #[test]
    fn a_channel_has_the_options_of_its_namespace() {
        let mut namespaces = Namespaces::default();
        let channel = |name| Channel::parse(name).unwrap();
        assert!(namespaces.resolve(&channel("a")).is_err());
        namespaces.set_unnamed(ChannelOptions::default()).unwrap();
        namespaces.add("chat", with_history()).unwrap();
        let has_history = |namespaces: &Namespaces, name| {
            namespaces
                .resolve(&channel(name))
                .map(|options| options.has_history())
        };
        assert_eq!(has_history(&namespaces, "a"), Ok(false));
        assert_eq!(has_history(&namespaces, "chat:a"), Ok(true));
        assert_eq!(has_history(&namespaces, "$chat:a"), Ok(true));
        for unknown in ["news:a", ":a"] {
            assert_eq!(has_history(&namespaces, unknown), Err(UnknownNamespace));
        }
        namespaces.set_any(with_history()).unwrap();
        assert_eq!(has_history(&namespaces, "news:a"), Ok(true));
        assert_eq!(
            has_history(&namespaces, "a"),
            Ok(false),
            "its own come first"
        );
    }

    #[test]
    fn a_namespace_is_named_once_and_legally() {
        let mut namespaces = Namespaces::default();
        namespaces.add("a", ChannelOptions::default()).unwrap();
        let again = namespaces.add("a", ChannelOptions::default());
        assert_eq!(again, Err(NamespaceError::Twice));
        for bad in ["", "a:b", "$a", "é", "a b"] {
            let added = namespaces.add(bad, ChannelOptions::default());
            assert_eq!(added, Err(NamespaceError::BadName), "{bad}");
        }
    }

    #[test]
    fn anonymous_clients_need_a_permission_of_their_own() {
        let options = ChannelOptions {
            allow_subscribe_for_client: true,
            allow_publish_for_subscriber: true,
            allow_presence_for_client: true,
            allow_history_for_subscriber: true,
            allow_history_for_anonymous: true,
            ..ChannelOptions::default()
        };
        let asker = |is_anonymous, is_subscribed| Asker {
            is_anonymous,
            is_subscribed,
        };
        let table = [
            // subscribe, publish, presence, history
            (asker(false, false), [true, false, true, false]),
            (asker(false, true), [true, true, true, true]),
            (asker(true, false), [false, false, false, false]),
            (asker(true, true), [false, false, false, true]),
        ];
        for (asker, allowed) in table {
            let got = [
                options.allows_subscribe(asker),
                options.allows_publish(asker),
                options.allows_presence(asker),
                options.allows_history(asker),
            ];
            assert_eq!(got, allowed, "{asker:?}");
        }
        let alone = ChannelOptions {
            allow_publish_for_anonymous: true,
            ..ChannelOptions::default()
        };
        assert!(
            !alone.allows_publish(asker(true, true)),
            "only with another"
        );
    }
}
