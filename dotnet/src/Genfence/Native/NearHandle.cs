namespace Genfence.Native;

/// <summary>A handle of a cache with a near time of its own. Its finaliser frees it.</summary>
internal sealed class NearHandle(CacheHandle handle)
{
    private readonly int _peeks = Methods.gf_peeks(handle);

    public CacheHandle Handle => handle;

    /// <summary>Whether there may be something to be had without waiting.</summary>
    public bool PeeksHits => (_peeks & Connection.PeekHits) != 0;

    /// <summary>Whether values may be kept in a form of the program's own.</summary>
    public bool KeepsCopies => (_peeks & Connection.PeekCopies) != 0;
}
