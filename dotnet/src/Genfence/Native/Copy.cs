using System.Runtime.ConstrainedExecution;

namespace Genfence.Native;

/// <summary>
/// Tells whether a value that is kept in a form of its own may still be served. Freed by its finaliser, as whoever asks it holds no lock
/// against who drops it.
/// </summary>
internal abstract class Copy : CriticalFinalizerObject
{
    private const int Over = 0;
    private const int Due = 2;

    private readonly nint _copy;

    protected Copy(nint copy) => _copy = copy;

    ~Copy() => Methods.gf_copy_free(_copy);

    /// <summary>Whether the value may be served now, which then counts as a hit.</summary>
    public bool Counts()
    {
        var counts = Methods.gf_copy_counts(_copy);
        if (counts == Due)
        {
            Methods.gf_copy_renew(_copy);
        }
        GC.KeepAlive(this);
        return counts != Over;
    }
}
