using System.Threading.Tasks.Sources;

namespace Genfence.Native;

/// <summary>
/// One call under way, pooled. Whoever advances its generation (the completion, or the cancellation)
/// ends the await; whoever comes later finds another generation and touches nothing.
/// </summary>
internal sealed class Operation : IValueTaskSource<NativeResult>
{
    private readonly OperationPool _pool;
    private ManualResetValueTaskSourceCore<NativeResult> _core;
    private CancellationTokenRegistration _registration;
    private CancellationToken _token;
    private int _generation;
    private int _armed;
    private string? _awaitedText;
    private int _awaitedHash;

    public Operation(OperationPool pool, int slot)
    {
        _pool = pool;
        Slot = slot;
        // No continuation runs on the completion thread.
        _core.RunContinuationsAsynchronously = true;
    }

    public int Slot { get; }

    /// <summary>The slot of the next free operation, while this one is free.</summary>
    public int Next;

    /// <summary>Slot and generation: what the completion brings back.</summary>
    public ulong UserData => ((ulong)(uint)_armed << 32) | (uint)Slot;

    public ValueTask<NativeResult> Task => new(this, _core.Version);

    public void Arm() => _armed = Volatile.Read(ref _generation);

    /// <summary>
    /// It may wait for another caller's load of this key. Before the submit. A text is only kept: hardly ever does anybody ask.
    /// </summary>
    public void MayAwait(string? text, ReadOnlySpan<byte> bytes)
    {
        Volatile.Write(ref _awaitedText, text);
        Volatile.Write(ref _awaitedHash, text is null ? CacheKey.Hash(bytes) : 0);
    }

    /// <summary>Whether somebody waits here who may wait for a load of the key with this hash.</summary>
    public bool Awaits(int key) => Volatile.Read(ref _generation) == Volatile.Read(ref _armed) && Awaited == key;

    private int Awaited => Volatile.Read(ref _awaitedText) is { } text ? new CacheKey(text).Hash() : Volatile.Read(ref _awaitedHash);

    private void AwaitsNothing()
    {
        Volatile.Write(ref _awaitedText, null);
        Volatile.Write(ref _awaitedHash, 0);
    }

    /// <summary>After the submit was accepted; the await has not begun.</summary>
    public void CancelWith(CancellationToken token)
    {
        if (token.CanBeCanceled)
        {
            _token = token;
            _registration = token.UnsafeRegister(static self => ((Operation)self!).Cancel(), this);
        }
    }

    /// <summary>Whether the result was taken; if not, nobody waits for it any more.</summary>
    public bool TryComplete(uint generation, in NativeResult result)
    {
        if (!Claim((int)generation))
        {
            return false;
        }
        _core.SetResult(result);
        return true;
    }

    /// <summary>Of an operation whose submit was refused: nobody else knows it.</summary>
    public void Disarm()
    {
        Claim(_armed);
        AwaitsNothing();
        _pool.Return(this);
    }

    public NativeResult GetResult(short token)
    {
        // Waits for a cancellation that runs just now, so none can hit the next use.
        _registration.Dispose();
        _registration = default;
        _token = default;
        try
        {
            return _core.GetResult(token);
        }
        finally
        {
            _core.Reset();
            AwaitsNothing();
            _pool.Return(this);
        }
    }

    public ValueTaskSourceStatus GetStatus(short token) => _core.GetStatus(token);

    public void OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    private bool Claim(int generation) =>
        Interlocked.CompareExchange(ref _generation, unchecked(generation + 1), generation) == generation;

    private void Cancel()
    {
        if (Claim(_armed))
        {
            // Before its caller goes on, and this is another call's.
            var awaited = _pool.Orphans.IsEmpty ? 0 : Awaited;
            _core.SetException(new OperationCanceledException(_token));
            if (awaited != 0)
            {
                _pool.Orphans.Look(awaited);
            }
        }
    }
}

/// <summary>All operations of a cache: a growing table, and a stack of those that are free.</summary>
internal sealed class OperationPool
{
    private readonly object _growing = new();
    private volatile Operation[] _all = [];
    private int _count;

    // A counter against reuse in between, and the slot + 1 of the first that is free.
    private long _free;

    /// <summary>The loads that go on for those who wait.</summary>
    public OrphanLoads Orphans { get; } = new();

    public Operation Rent()
    {
        while (true)
        {
            var free = Volatile.Read(ref _free);
            var slot = (int)(uint)free - 1;
            if (slot < 0)
            {
                return Grow();
            }
            var first = _all[slot];
            var next = Head(free, Volatile.Read(ref first.Next) + 1);
            if (Interlocked.CompareExchange(ref _free, next, free) == free)
            {
                first.Arm();
                return first;
            }
        }
    }

    public void Return(Operation operation)
    {
        while (true)
        {
            var free = Volatile.Read(ref _free);
            Volatile.Write(ref operation.Next, (int)(uint)free - 1);
            if (Interlocked.CompareExchange(ref _free, Head(free, operation.Slot + 1), free) == free)
            {
                return;
            }
        }
    }

    public Operation? Find(uint slot)
    {
        var all = _all;
        return slot < (uint)all.Length ? all[slot] : null;
    }

    /// <summary>Whether somebody may wait for a load of the key with this hash. Looks at all, so only for a load without its caller.</summary>
    public bool Awaits(int key)
    {
        // Those that are not there yet came later than this question.
        var (all, count) = (_all, Volatile.Read(ref _count));
        for (var i = 0; i < Math.Min(all.Length, count); i++)
        {
            if (all[i]?.Awaits(key) is true)
            {
                return true;
            }
        }
        return false;
    }

    private static long Head(long before, int slot) =>
        (long)(((ulong)before & 0xFFFF_FFFF_0000_0000) + 0x1_0000_0000 + (uint)slot);

    private Operation Grow()
    {
        lock (_growing)
        {
            if (_count == _all.Length)
            {
                var larger = new Operation[Math.Max(16, _count * 2)];
                _all.CopyTo(larger, 0);
                _all = larger;
            }
            var made = new Operation(this, _count);
            _all[_count++] = made;
            made.Arm();
            return made;
        }
    }
}
