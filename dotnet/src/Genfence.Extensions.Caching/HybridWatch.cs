using System.Collections.Concurrent;

namespace Genfence.Extensions.Caching;

/// <summary>The calls of one <c>HybridCache</c> that are under way while somebody listens to <see cref="HybridEvents"/>.</summary>
internal sealed class HybridWatch
{
    private readonly ConcurrentDictionary<string, WatchedCall> _first = new(StringComparer.Ordinal);

    /// <summary>A call begins; tell it how it ends.</summary>
    public WatchedCall Begin(string key, bool reads)
    {
        var call = new WatchedCall(this, key);
        if (!_first.TryAdd(key, call))
        {
            HybridEvents.Tell.StampedeJoin();
        }
        else if (reads)
        {
            call.Ask();
        }
        return call;
    }

    /// <summary>As Microsoft's: the first of a key's calls asks the cache, and the others join it.</summary>
    internal sealed class WatchedCall(HybridWatch watch, string key)
    {
        private int _asks;
        private volatile bool _loaded;

        /// <summary>Whether its factory came to a value.</summary>
        public bool Loaded => _loaded;

        public void Ask()
        {
            _asks = 1;
            HybridEvents.Tell.DistributedCacheGet();
        }

        /// <summary>Runs the factory of this call, which the cache did only where it had no value.</summary>
        public async ValueTask<T> LoadAsync<TState, T>(
            TState state, Func<TState, CancellationToken, ValueTask<T>> factory, CancellationToken cancellation)
        {
            Answered(HybridEvents.Tell.DistributedCacheMiss);
            HybridEvents.Tell.UnderlyingDataQueryStart();
            try
            {
                var value = await factory(state, cancellation).ConfigureAwait(false);
                _loaded = true;
                HybridEvents.Tell.UnderlyingDataQueryComplete();
                return value;
            }
            catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
            {
                HybridEvents.Tell.UnderlyingDataQueryCanceled();
                throw;
            }
            catch
            {
                HybridEvents.Tell.UnderlyingDataQueryFailed();
                throw;
            }
        }

        public void Hit() => Answered(HybridEvents.Tell.DistributedCacheHit);

        public void Miss() => Answered(HybridEvents.Tell.DistributedCacheMiss);

        public void Failed(bool isCancelled) =>
            Answered(isCancelled ? HybridEvents.Tell.DistributedCacheCanceled : HybridEvents.Tell.DistributedCacheFailed);

        public void End() => watch._first.TryRemove(new KeyValuePair<string, WatchedCall>(key, this));

        private void Answered(Action tell)
        {
            if (Interlocked.Exchange(ref _asks, 0) == 1)
            {
                tell();
            }
        }
    }
}
