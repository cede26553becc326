//! Redis or Valkey as the store.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind, RedisError,
    RedisResult, Script,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::store::{Change, Look, Store};
use crate::{Error, Result, Timestamp};

/// How long to wait for a connection or an answer: a few of these are less than a lease.
const PATIENCE: Duration = Duration::from_secs(1);

/// The value with its version, the server's time in seconds and microseconds, its run, and the seconds since its start.
const LOOK: &str = r"
local time, about = redis.call('TIME'), redis.call('INFO', 'server')
local kept = redis.call('HMGET', KEYS[1], 'version', 'value')
return {time[1], time[2], about:match('run_id:(%x+)'), about:match('uptime_in_seconds:(%d+)'), kept[1], kept[2]}";

/// Takes the old version, the new one, the value, and the channel of whom to call, if anybody.
const REPLACE: &str = r"
if (redis.call('HGET', KEYS[1], 'version') or '') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'value', ARGV[3])
if ARGV[4] ~= '' then redis.call('PUBLISH', ARGV[4], '') end
return 1";

/// Connects anew after every failure, whatever it was.
#[derive(Debug)]
pub(super) struct Redis {
    client: Client,
    config: AsyncConnectionConfig,
    key: String,
    /// Where this worker is called.
    channel: String,
    connection: Option<MultiplexedConnection>,
    pushed: UnboundedReceiver<PushInfo>,
    look: Script,
    replace: Script,
}

impl Redis {
    /// The quotas `name` on the server at `url`, for `worker`. Does not connect yet.
    ///
    /// # Errors
    /// A usage error if the URL is not one of Redis.
    pub(super) fn new(url: &str, name: &str, worker: &str) -> Result<Self> {
        let malformed = |cause: RedisError| {
            Error::usage(
                "the URL is not one of a Redis that can be used: it is like redis://127.0.0.1:6379/0, without TLS",
            )
            .because(cause)
        };
        let info = url.into_connection_info().map_err(malformed)?;
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = Client::open(info.set_redis_settings(settings)).map_err(malformed)?;
        let (push, pushed) = unbounded_channel();
        let key = format!("bedrock-tpm:{name}");
        Ok(Self {
            client,
            config: config(push),
            channel: channel(&key, worker),
            key,
            connection: None,
            pushed,
            look: Script::new(LOOK),
            replace: Script::new(REPLACE),
        })
    }

    async fn connection(&mut self) -> RedisResult<&mut MultiplexedConnection> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let connect = self.client.get_multiplexed_async_connection_with_config(&self.config);
                let mut connection = connect.await?;
                connection.subscribe(&self.channel).await?;
                connection
            }
        };
        Ok(self.connection.insert(connection))
    }

    fn failed(&mut self, cause: RedisError) -> Error {
        self.connection = None;
        let address = self.client.get_connection_info().addr();
        Error::setup(format!("the Redis at {address} does not answer as it should; see that it runs"))
            .because(cause)
    }
}

fn config(push: UnboundedSender<PushInfo>) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE))
        .set_push_sender(push)
}

fn channel(key: &str, worker: &str) -> String {
    format!("{key}:{worker}")
}

/// Both scripts are tried by their hash first; a server that does not know it, because it has restarted, is told.
impl Store for Redis {
    async fn look(&mut self) -> Result<Look> {
        type Raw = (i64, i64, String, i64, Option<String>, Option<Vec<u8>>);
        let (invocation, key) = (self.look.clone(), self.key.clone());
        let looked: RedisResult<Raw> = async {
            let connection = self.connection().await?;
            invocation.key(key).invoke_async(connection).await
        }
        .await;
        let (seconds, micros, run, uptime_s, version, value) = looked.map_err(|cause| self.failed(cause))?;
        let now = Timestamp::from_nanos(seconds * 1_000_000_000 + micros * 1_000);
        Ok(Look { now, run, started: now.plus_seconds(-(uptime_s as f64)), kept: version.zip(value) })
    }

    async fn replace(&mut self, change: &Change) -> Result<bool> {
        let next = change.next.as_deref().map(|worker| channel(&self.key, worker)).unwrap_or_default();
        let script = self.replace.clone();
        let mut invocation = script.key(&self.key);
        invocation.arg(&change.from).arg(&change.version).arg(&change.value).arg(next);
        let replaced: RedisResult<bool> =
            async { invocation.invoke_async(self.connection().await?).await }.await;
        replaced.map_err(|cause| self.failed(cause))
    }

    async fn called(&mut self) {
        let is_call = |kind| matches!(kind, PushKind::Message | PushKind::Disconnection);
        while let Some(push) = self.pushed.recv().await {
            if is_call(push.kind) {
                return;
            }
        }
        std::future::pending().await
    }
}
