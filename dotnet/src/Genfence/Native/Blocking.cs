namespace Genfence.Native;

/// <summary>
/// Makes the calls of this thread wait in the native library, on this thread, until it is disposed: every await of theirs
/// is then over at once. A wait for a completion would need a thread of the pool, and the pool may be what is exhausted.
/// </summary>
internal readonly ref struct Blocking
{
    [ThreadStatic]
    private static bool s_here;

    private readonly bool _before;

    private Blocking(bool before) => _before = before;

    public static bool IsHere => s_here;

    public static Blocking Begin()
    {
        var blocking = new Blocking(s_here);
        s_here = true;
        return blocking;
    }

    public void Dispose() => s_here = _before;
}
