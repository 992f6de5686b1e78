namespace Genfence;

/// <summary>Something for each type, which is found by a number of the type's: that takes less time than to look the type up.</summary>
internal sealed class ByType
{
    private readonly object _lock = new();
    private object?[] _all = new object?[8];

    /// <summary>What belongs to a type; <see langword="null"/> where nothing does yet.</summary>
    public object? Find<T>()
    {
        var all = Volatile.Read(ref _all);
        var number = TypeOf<T>.Number;
        return (uint)number < (uint)all.Length ? all[number] : null;
    }

    /// <summary>What belongs to a type from now on: this, or what another has just added.</summary>
    public object Add<T>(object made)
    {
        lock (_lock)
        {
            var number = TypeOf<T>.Number;
            if (number >= _all.Length)
            {
                var larger = new object?[Math.Max(number + 1, 2 * _all.Length)];
                _all.CopyTo(larger, 0);
                Volatile.Write(ref _all, larger);
            }
            return _all[number] ??= made;
        }
    }
}
