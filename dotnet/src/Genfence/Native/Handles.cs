using System.Runtime.InteropServices;

namespace Genfence.Native;

/// <summary>
/// An open cache. Freed by <see cref="Connection"/> alone, after it was closed, so its finaliser
/// has nothing to wait for. Or one of <see cref="Tags"/>, which closes nothing.
/// </summary>
internal sealed class CacheHandle : SafeHandle
{
    private readonly nint _home;

    /// <summary>Also of the function that the cache asks where keys are at home, or 0.</summary>
    public CacheHandle(nint handle, nint home) : base(0, ownsHandle: true)
    {
        _home = home;
        SetHandle(handle);
    }

    public override bool IsInvalid => handle == 0;

    protected override bool ReleaseHandle()
    {
        Methods.gf_free(handle);
        Homes.Remove(_home);
        return true;
    }
}

/// <summary>Where submitted operations complete.</summary>
internal sealed class QueueHandle : SafeHandle
{
    public QueueHandle(nint handle) : base(0, ownsHandle: true) => SetHandle(handle);

    public override bool IsInvalid => handle == 0;

    protected override bool ReleaseHandle()
    {
        Methods.gf_queue_free(handle);
        return true;
    }
}

/// <summary>Freeing it unused gives the lease back.</summary>
internal sealed class LeaseHandle : SafeHandle
{
    public LeaseHandle(nint handle) : base(0, ownsHandle: true) => SetHandle(handle);

    public override bool IsInvalid => handle == 0;

    protected override bool ReleaseHandle()
    {
        Methods.gf_lease_free(handle);
        return true;
    }
}

/// <summary>Freeing it unused leaves the reservation to expire.</summary>
internal sealed class ReservationHandle : SafeHandle
{
    public ReservationHandle(nint handle) : base(0, ownsHandle: true) => SetHandle(handle);

    public override bool IsInvalid => handle == 0;

    /// <summary>Whether it is to be told of still; not where it is freed, by another thread perhaps, which is told.</summary>
    public bool IsUnused => Ask(static handle => (ulong)Methods.gf_reservation_is_unused(handle)) != 0;

    /// <summary>Of one that is freed nothing is left.</summary>
    public ulong Ask(Func<ReservationHandle, ulong> ask)
    {
        if (IsClosed)
        {
            return 0;
        }
        try
        {
            return ask(this);
        }
        catch (ObjectDisposedException)
        {
            return 0;
        }
    }

    protected override bool ReleaseHandle()
    {
        Methods.gf_reservation_free(handle);
        return true;
    }
}
