namespace Genfence.Extensions.Caching;

/// <summary>
/// The misses of this process whose sets are still to come, and the lease of each that is its key's only one. A set
/// does not say which miss it belongs to; so where a key has two, either set could be of a source that was read before
/// the lease came, and a fill under it could store what is stale: that lease is given back.
/// </summary>
/// <remarks>
/// There is no timer: the native library gives a lease back by itself, after the option <c>load_time</c>. It is kept
/// here beyond that, so that a late set is refused as its fill, and not taken for one that follows no miss.
/// </remarks>
internal sealed class Misses(TimeProvider time) : IDisposable
{
    /// <summary>Of so many keys; beyond that the one is forgotten that was missed the longest time ago.</summary>
    public const int MaxKeys = 1024;

    /// <summary>Of one key; from there on its sets are not counted off, and only time ends its misses.</summary>
    private const int MaxOfKey = 64;

    /// <summary>A miss need not be followed by a set, so this ends it.</summary>
    public static readonly TimeSpan MaxAge = TimeSpan.FromMinutes(10);

    /// <summary>As long, if its get threw: most callers give up then; who goes on reads the source at once.</summary>
    public static readonly TimeSpan MaxAgeOfThrown = TimeSpan.FromMinutes(1);

    private readonly Dictionary<string, LinkedListNode<OfKey>> _byKey = new(StringComparer.Ordinal);

    // The one that was missed last, counted off or not, comes last: one behind it may be older.
    private readonly LinkedList<OfKey> _byAge = new();
    private bool _disposed;

    /// <summary>
    /// Adds a miss. If it is the key's only one, it may be looked up for a lease; tell <see cref="Settle"/> what came
    /// of that. One whose get threw is not looked up.
    /// </summary>
    public OfKey? Add(string key, bool thrown = false)
    {
        lock (_byKey)
        {
            if (_disposed)
            {
                return null;
            }
            var known = Find(key);
            if (!thrown && known is { Value.IsSpent: true })
            {
                known.Value.IsSpent = false;
                if (known.Value.CountOff() || IsOld(known))
                {
                    Forget(known);
                    known = null;
                }
            }
            if (known is not null)
            {
                known.Value.Cross();
                known.Value.Add(End(thrown ? MaxAgeOfThrown : MaxAge));
                _byAge.Remove(known);
                _byAge.AddLast(known);
                return null;
            }
            if (thrown)
            {
                _ = Begin(key, MaxAgeOfThrown, false);
                return null;
            }
            return Begin(key, MaxAge, true);
        }
    }

    /// <summary>What came of a lookup: perhaps a lease, which is this one's from now on; or it is no miss.</summary>
    public void Settle(OfKey misses, Lease? lease, bool isMiss)
    {
        lock (_byKey)
        {
            misses.Settle(lease);
            if (!isMiss && misses.CountOff() && _byKey.TryGetValue(misses.Key, out var known) && known.Value == misses)
            {
                Forget(known);
            }
        }
    }

    /// <summary>
    /// A set has come. Whether it may store: under the lease of its key's only miss, which is the caller's from now on,
    /// or blindly, where there is none.
    /// </summary>
    public bool Take(string key, out Lease? lease)
    {
        lease = null;
        lock (_byKey)
        {
            if (Find(key) is not { } known)
            {
                return true;
            }
            if (known.Value.IsSpent)
            {
                return false;
            }
            if (known.Value.IsOnlyAndLooking)
            {
                // Its caller does not know yet that it missed, so it is another's set.
                known.Value.Cross();
                return true;
            }
            lease = known.Value.TakeLease();
            if (known.Value.CountOff())
            {
                Forget(known);
            }
            return true;
        }
    }

    /// <summary>
    /// The set that took a lease threw, and the lease is used up. The same value may come again, which was read before
    /// who knows what change: until the key is missed anew, no set of it stores.
    /// </summary>
    public void Spend(string key)
    {
        lock (_byKey)
        {
            if (_disposed)
            {
                return;
            }
            var spent = Find(key)?.Value;
            spent?.Cross();
            spent?.Add(End(MaxAge));
            spent ??= Begin(key, MaxAge, false);
            spent.IsSpent = true;
        }
    }

    /// <summary>Gives all leases back, and takes no more.</summary>
    public void Dispose()
    {
        lock (_byKey)
        {
            _disposed = true;
            while (_byAge.First is { } oldest)
            {
                Forget(oldest);
            }
        }
    }

    private OfKey Begin(string key, TimeSpan maxAge, bool looking)
    {
        if (_byKey.Count == MaxKeys)
        {
            Forget(_byAge.First!);
        }
        var begun = new OfKey(key, End(maxAge), looking);
        _byKey.Add(key, _byAge.AddLast(begun));
        return begun;
    }

    private LinkedListNode<OfKey>? Find(string key)
    {
        while (_byAge.First is { } oldest && IsOld(oldest))
        {
            Forget(oldest);
        }
        if (_byKey.TryGetValue(key, out var known) && IsOld(known))
        {
            Forget(known);
            return null;
        }
        return known;
    }

    private long End(TimeSpan maxAge) =>
        time.GetTimestamp() + (long)(maxAge.TotalSeconds * time.TimestampFrequency);

    private bool IsOld(LinkedListNode<OfKey> misses) => time.GetTimestamp() > misses.Value.End;

    private void Forget(LinkedListNode<OfKey> misses)
    {
        _byKey.Remove(misses.Value.Key);
        _byAge.Remove(misses);
        misses.Value.Cross();
    }

    /// <summary>The misses of one key, and the lease where there is but one.</summary>
    internal sealed class OfKey(string key, long end, bool looking)
    {
        // When each gets old; the last one last.
        private readonly List<long> _ends = [end];
        private Lease? _lease;
        private bool _looking = looking;
        private bool _crossed;

        public string Key => key;

        /// <summary>One of them has had its set, which threw; it stays, so that no set stores before the next get.</summary>
        public bool IsSpent { get; set; }

        public long End => _ends[^1];

        public bool IsOnlyAndLooking => _looking && _ends.Count == 1;

        public void Add(long end)
        {
            if (_ends.Count == MaxOfKey)
            {
                _ends.RemoveAt(0);
            }
            _ends.Insert(_ends.FindLastIndex(other => other <= end) + 1, end);
        }

        /// <summary>One is done. Whether it was the last.</summary>
        public bool CountOff()
        {
            // The one that gets old last, so that one that no set follows gets old all the same.
            if (_ends.Count is > 1 and < MaxOfKey)
            {
                _ends.RemoveAt(_ends.Count - 1);
                return false;
            }
            return _ends.Count == 1;
        }

        /// <summary>There is more than this one miss, or was: no lease is kept.</summary>
        public void Cross()
        {
            _crossed = true;
            TakeLease()?.Dispose();
        }

        public void Settle(Lease? lease)
        {
            _looking = false;
            _lease = lease;
            if (_crossed)
            {
                Cross();
            }
        }

        public Lease? TakeLease()
        {
            var taken = _lease;
            _lease = null;
            return taken;
        }
    }
}
