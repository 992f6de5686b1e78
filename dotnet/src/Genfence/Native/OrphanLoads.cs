namespace Genfence.Native;

/// <summary>
/// Loads whose own caller has gone, and that go on for those who wait. Whoever goes away looks here whether it was the last.
/// </summary>
internal sealed class OrphanLoads
{
    private readonly List<Orphan> _all = [];

    // Hardly ever is there one, and then nobody takes the lock.
    private volatile int _count;

    /// <summary>Whether there are none, so that nobody need look.</summary>
    public bool IsEmpty => _count == 0;

    /// <summary>A load goes on without its caller, unless nobody else waits for it.</summary>
    /// <param name="key">The hash of its key.</param>
    /// <param name="isAwaited">Whether somebody waits for it.</param>
    /// <param name="load">Ends it.</param>
    public void Add(int key, Func<bool> isAwaited, CancellationTokenSource load)
    {
        lock (_all)
        {
            _all.Add(new Orphan(key, isAwaited, load));
            _count = _all.Count;
        }
        // After it stands there: who went away before has not seen it.
        Look(key);
    }

    /// <summary>Somebody went away who may have waited for a load of this key.</summary>
    /// <param name="key">The hash of the key.</param>
    public void Look(int key)
    {
        lock (_all)
        {
            for (var i = _all.Count - 1; i >= 0; i--)
            {
                if (_all[i] is { } orphan && orphan.Key == key && !orphan.IsAwaited())
                {
                    _all.RemoveAt(i);
                    // What a callback of the factory's throws has nobody to be told.
                    orphan.Load.CancelAsync().Unobserved();
                }
            }
            _count = _all.Count;
        }
    }

    /// <summary>It has ended.</summary>
    /// <param name="load">As it was added.</param>
    public void Remove(CancellationTokenSource load)
    {
        lock (_all)
        {
            _all.RemoveAll(orphan => orphan.Load == load);
            _count = _all.Count;
        }
    }

    private sealed record Orphan(int Key, Func<bool> IsAwaited, CancellationTokenSource Load);
}

internal static class Tasks
{
    /// <summary>Nobody looks at what comes of it.</summary>
    public static void Unobserved(this Task task) => task.ContinueWith(
        static ended => ended.Exception,
        CancellationToken.None,
        TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously,
        TaskScheduler.Default);
}
