namespace Genfence.AspNetCore.OutputCaching;

/// <summary>
/// What requests that missed one key render under: the lease that one of them took, with the tags that were named then. Who misses the key while it is
/// held renders after it was taken, and may store under it as well: the first to have rendered does. So it does not matter whom of them the middleware lets
/// render for the others. It is given back when the last of them ends.
/// </summary>
/// <remarks>Each of them disposes of it once.</remarks>
internal sealed class Miss(string[] tags, Lease lease, Action<Miss> ended) : IDisposable
{
    private readonly object _lock = new();
    private Lease? _lease = lease;
    private int _requests = 1;

    /// <summary>Where a request keeps it.</summary>
    public static object Of(string key) => (typeof(Miss), key);

    /// <summary>Whether all of these were named before it was rendered.</summary>
    public bool Named(IEnumerable<string> named) => named.All(tag => tags.Contains(tag, StringComparer.Ordinal));

    /// <summary>For a request whose lookup has ended: whether it renders under this one. The tags are those that are named by now.</summary>
    public bool Joined(string[] named)
    {
        lock (_lock)
        {
            if (_lease is null || !Named(named))
            {
                return false;
            }
            _requests++;
            return true;
        }
    }

    /// <summary>The lease, which is the caller's now; or another has stored.</summary>
    public Lease? TakeLease()
    {
        lock (_lock)
        {
            var taken = _lease;
            _lease = null;
            return taken;
        }
    }

    public void Dispose()
    {
        Lease? left;
        lock (_lock)
        {
            if (--_requests > 0)
            {
                return;
            }
            left = TakeLease();
        }
        ended(this);
        left?.Dispose();
    }
}
