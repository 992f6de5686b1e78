using Genfence.Native;

namespace Genfence;

// A near time of a handle's own.
public sealed partial class GenfenceCache
{
    private readonly NearHandle? _near;

    /// <summary>
    /// This cache, with another near time than the option <see cref="GenfenceSettings.Near"/> says: so long copies are kept of what is read through this
    /// handle, of its tags too, and so long a writer waits for them. With zero none are kept, and none is served: each hit is read of the store. Cheap, and
    /// to be kept where it is used again; it is the same cache, so to dispose of the handle does nothing, and to dispose of the cache ends both.
    /// </summary>
    /// <remarks>
    /// Copies are the process's own, whichever handle left them: one that serves copies serves also those which are kept for longer than its own time.
    /// </remarks>
    /// <param name="time">Zero, or 10 ms to the option <see cref="GenfenceSettings.NearMax"/> (<see cref="GenfenceSettings.Near"/>, where that is not set).</param>
    /// <returns>The handle.</returns>
    /// <exception cref="GenfenceInvalidException">
    /// It is out of bounds; or neither option is set; or <see cref="GenfenceSettings.Fence"/> is <see cref="Fence.Home"/>.
    /// </exception>
    public GenfenceCache Near(TimeSpan time)
    {
        if (time < TimeSpan.Zero)
        {
            throw new GenfenceInvalidException("near", $"near: {time}, must not be below 0");
        }
        return new(this, _tags, Connection.Near(time == TimeSpan.Zero ? 0 : Request.Milliseconds("near", time)));
    }
}
