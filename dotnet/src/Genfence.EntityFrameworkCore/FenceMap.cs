using System.Linq.Expressions;

namespace Genfence.EntityFrameworkCore;

/// <summary>What becomes of a statement that changes a mapped table, and of which nobody has named the keys.</summary>
public enum UnnamedChanges
{
    /// <summary>It is refused before it is sent, with the line to write.</summary>
    Refuse,

    /// <summary>It is sent, and a warning is logged: values may be stale after it.</summary>
    Warn,

    /// <summary>It is sent: values may be stale after it.</summary>
    Allow,
}

/// <summary>Which keys of the cache each entity stands in: the map of <c>UseGenfence</c>.</summary>
public sealed class FenceMap
{
    internal FenceMap() { }

    internal List<MappedKey> Keys { get; } = [];

    /// <summary>
    /// Of <c>ExecuteUpdate</c>, <c>ExecuteDelete</c> and raw SQL on a mapped table without a <c>Fence</c> before it. Refused where not said otherwise.
    /// </summary>
    public UnnamedChanges Unnamed { get; set; }

    /// <summary>
    /// Whether keys are reserved when a save begins, and not in the last moment before COMMIT. Where it is not set: where copies are kept
    /// (<see cref="GenfenceSettings.Near"/>), as the wait for them holds no locks then.
    /// </summary>
    public bool? IsReservedEarly { get; set; }

    /// <summary>The keys that an entity stands in, also by the types that inherit from it.</summary>
    /// <typeparam name="T">The entity's type.</typeparam>
    /// <param name="fences">Names them.</param>
    /// <returns>This map.</returns>
    public FenceMap Entity<T>(Action<EntityFences<T>> fences)
        where T : class
    {
        ArgumentNullException.ThrowIfNull(fences);
        fences(new EntityFences<T>(Keys));
        return this;
    }
}

/// <summary>The keys that an entity stands in.</summary>
/// <typeparam name="T">The entity's type.</typeparam>
public sealed class EntityFences<T>
    where T : class
{
    private readonly List<MappedKey> _keys;
    private MappedKey? _last;

    internal EntityFences(List<MappedKey> keys) => _keys = keys;

    /// <summary>
    /// A key: <c>Key(p => $"product:{p.Id}")</c>. It is computed of the values before the change and of those after it, so it may be made of
    /// the entity's own properties only, and of no navigation; <see langword="null"/> is no key. The owned types of an entity, and the join rows of its
    /// many-to-many navigations, count as changes of it.
    /// </summary>
    /// <param name="key">The key of an entity.</param>
    /// <returns>These keys.</returns>
    public EntityFences<T> Key(Expression<Func<T, string?>> key)
    {
        ArgumentNullException.ThrowIfNull(key);
        var compiled = key.Compile();
        _last = new MappedKey(typeof(T), key, entity => compiled((T)entity));
        _keys.Add(_last);
        return this;
    }

    /// <summary>
    /// What the last named key has once the change is committed: it is stored then, and no reader need load it. Else the key is released, and the next
    /// reader fills it.
    /// </summary>
    /// <remarks>
    /// The value must be made of this row alone, as it is when the transaction has changed it. So it is stored of rows that were inserted, of rows that were
    /// deleted (that there is nothing), and of an update where the entity has a concurrency token, or that writes every column (<c>db.Update(row)</c>): else another
    /// transaction could have changed a column that this one has read long before, and the key is released. It is not stored in a <c>TransactionScope</c>, nor where the
    /// program names the key (<c>Fence</c>). An entity that is attached without having been read must have all that the value is made of.
    /// </remarks>
    /// <typeparam name="TValue">The value's type, as readers read it.</typeparam>
    /// <param name="value">The value of an entity as it is after the change.</param>
    /// <param name="timeToLive">How long to keep it, rounded up to whole seconds; else the cache's own time.</param>
    /// <param name="serializer">Else bytes and text as they are, and JSON.</param>
    /// <returns>These keys.</returns>
    public EntityFences<T> Value<TValue>(
        Expression<Func<T, TValue>> value, TimeSpan? timeToLive = null, IGenfenceSerializer<TValue>? serializer = null)
    {
        ArgumentNullException.ThrowIfNull(value);
        var key = _last ?? throw new InvalidOperationException($"{typeof(T).Name}: a value is that of the key named before it: call Key first");
        var compiled = value.Compile();
        key.Value = value;
        key.Store = (fence, name, entity) =>
        {
            if (entity is null)
            {
                fence.SetOfChangedRows<byte[]?>(name, null, timeToLive: timeToLive);
            }
            else
            {
                fence.SetOfChangedRows(name, compiled((T)entity), timeToLive: timeToLive, serializer: serializer);
            }
        };
        return this;
    }
}

/// <summary>A key as it was named, before the model is known.</summary>
internal sealed class MappedKey(Type entity, LambdaExpression expression, Func<object, string?> of)
{
    public Type Entity { get; } = entity;

    public LambdaExpression Expression { get; } = expression;

    public Func<object, string?> Of { get; } = of;

    public LambdaExpression? Value { get; set; }

    /// <summary>Says what the key has; of no entity that there is nothing.</summary>
    public Action<TransactionFence, string, object?>? Store { get; set; }
}
