namespace Genfence;

/// <summary>What a call came to whose caller takes an old value where there is no other.</summary>
/// <typeparam name="T">The value's type.</typeparam>
public readonly struct Answer<T> : IEquatable<Answer<T>>
{
    internal Answer(T? value) => Value = value;

    internal Answer(T? value, TimeSpan age)
    {
        Value = value;
        IsStale = true;
        Age = age;
    }

    /// <summary>The value; the type's default where the source has nothing, or had.</summary>
    public T? Value { get; }

    /// <summary>Whether it is only what this process last knew to be right. It may be right still, and it may not.</summary>
    public bool IsStale { get; }

    /// <summary>How long ago it was certainly right, where it is stale: at most the option <c>stale_for</c>; else zero.</summary>
    public TimeSpan Age { get; }

    /// <inheritdoc/>
    public bool Equals(Answer<T> other) =>
        IsStale == other.IsStale && Age == other.Age && EqualityComparer<T?>.Default.Equals(Value, other.Value);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Answer<T> other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Value, IsStale, Age);

    /// <summary>Whether both are the same.</summary>
    /// <param name="left">One.</param>
    /// <param name="right">The other.</param>
    public static bool operator ==(Answer<T> left, Answer<T> right) => left.Equals(right);

    /// <summary>Whether they differ.</summary>
    /// <param name="left">One.</param>
    /// <param name="right">The other.</param>
    public static bool operator !=(Answer<T> left, Answer<T> right) => !left.Equals(right);
}
