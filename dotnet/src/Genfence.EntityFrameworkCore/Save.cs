using System.Data.Common;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.ChangeTracking;
using Microsoft.EntityFrameworkCore.Metadata;
using Microsoft.Extensions.Logging;

namespace Genfence.EntityFrameworkCore;

/// <summary>One call of SaveChanges: the keys of what it changes, and the values that they get.</summary>
internal sealed partial class Save(DbContext context, ModelFences fences)
{
    private readonly HashSet<string> _keys = [];
    private readonly HashSet<CacheKey> _named = new(CacheKeyComparer.Instance);
    private bool _isNamed;
    private readonly List<(EntityKey Key, EntityEntry Entry, bool IsStored)> _late = [];

    // Of a key that several rows stand in no value is known of one of them.
    private readonly Dictionary<string, (EntityKey Key, EntityEntry Entry, object? Old)?> _values = [];
    private readonly Dictionary<IKey, Dictionary<KeyValues, EntityEntry>> _tracked = [];

    /// <summary>In the middle of which it is, as somebody saves when something is saved.</summary>
    public Save? Outer { get; set; }

    /// <summary>Where its keys are: the fence of a transaction, or of its statements.</summary>
    public TransactionFence? Fence { get; set; }

    /// <summary>The fence of the statements, where there is no transaction.</summary>
    public TransactionFence? Statements { get; set; }

    /// <summary>How many statements were sent without a transaction under that fence.</summary>
    public int Sent { get; set; }

    /// <summary>Whether a statement was about to be sent: what is saved is settled then.</summary>
    public bool IsSending { get; set; }

    /// <summary>The transaction that was begun for it.</summary>
    public DbTransaction? Own { get; set; }

    /// <summary>Whether that was committed.</summary>
    public bool IsCommitted { get; set; }

    /// <summary>What the behaviour was before it had to be another one.</summary>
    public AutoTransactionBehavior? Restored { get; set; }

    /// <summary>The keys that are known so far, those that the program has named included.</summary>
    public IEnumerable<CacheKey> Keys => _keys.Select(key => new CacheKey(key)).Concat(_named);

    /// <summary>The type of an entity whose key is only known once its row is there.</summary>
    public string? Late => _late.Count == 0 ? null : _late[0].Entry.Metadata.DisplayName();

    /// <summary>Whether any key is only known once a row was inserted, so that a transaction is needed.</summary>
    public static bool HasLateKeys(DbContext context, ModelFences fences) => context.ChangeTracker.Entries().Any(
        entry => entry.State is EntityState.Added or EntityState.Modified
            && fences.Of(entry) is { } fence
            && (fence.Ends.Length > 0 || fence.Keys.Any(key => key.IsLate(entry))));

    /// <summary>
    /// Finds the keys that are known before anything is sent. Where the program has named some, those of ends that are not there are its affair.
    /// </summary>
    public void Collect(IReadOnlyCollection<CacheKey>? named)
    {
        _named.UnionWith(named ?? []);
        _isNamed |= named is not null;
        _late.Clear();
        _tracked.Clear();
        // EF Core has looked for changes just now.
        var detects = context.ChangeTracker.AutoDetectChangesEnabled;
        context.ChangeTracker.AutoDetectChangesEnabled = false;
        try
        {
            foreach (var entry in context.ChangeTracker.Entries())
            {
                if (entry.State is EntityState.Added or EntityState.Modified or EntityState.Deleted && fences.Of(entry) is { } fence)
                {
                    Collect(entry, fence);
                }
            }
        }
        finally
        {
            context.ChangeTracker.AutoDetectChangesEnabled = detects;
        }
    }

    /// <summary>Finds those that were not known before the rows were written.</summary>
    public void CollectLate()
    {
        foreach (var (key, entry, isStored) in _late)
        {
            // What the database has given is in the entity itself only once all of the changes are accepted.
            Name(key.Of(entry.CurrentValues.ToObject()), isStored ? key : null, entry);
        }
    }

    /// <summary>
    /// Once all is written: the values of those keys that have one. What the program has named is changed by more than this save. One that cannot be made is not
    /// stored: it is too late to refuse.
    /// </summary>
    public void SetValues(TransactionFence fence, ILogger logger)
    {
        fence.Forget(_values.Keys.Select(key => new CacheKey(key)));
        foreach (var (name, known) in _values)
        {
            if (known is not var (key, entry, old) || _named.Contains(name))
            {
                continue;
            }
            try
            {
                // Of what is not accepted the entity does not have what the database gave, nor is it that of a key which an attempt was given that failed.
                if (old is not null || (entry.State == EntityState.Unchanged && key.Of(entry.Entity) == name))
                {
                    key.Mapped.Store!(fence, name, old is null ? entry.Entity : null);
                }
            }
#pragma warning disable CA1031 // The program's own code may throw anything.
            catch (Exception problem)
#pragma warning restore CA1031
            {
                IsNotStored(logger, name, problem);
            }
        }
    }

    private void Collect(EntityEntry entry, EntityFence fence)
    {
        object? original = null;
        foreach (var key in fence.Keys)
        {
            var (isLate, hasMoved) = (key.IsLate(entry), false);
            if (entry.State != EntityState.Added && (isLate || key.MayHaveMoved(entry)))
            {
                original ??= entry.OriginalValues.ToObject();
                var before = key.Of(original);
                hasMoved = isLate || before != key.Of(entry.Entity);
                if (hasMoved)
                {
                    Name(before);
                }
            }
            if (isLate)
            {
                _late.Add((key, entry, IsStored(entry, fence)));
            }
            else
            {
                // Of a row that was moved and then deleted, another one may be where it was moved to.
                Name(key.Of(entry.Entity), IsStored(entry, fence) && !(hasMoved && entry.State == EntityState.Deleted) ? key : null, entry);
            }
        }
        foreach (var end in fence.Ends)
        {
            CollectEnd(entry, end);
        }
    }

    private void CollectEnd(EntityEntry entry, IForeignKey end)
    {
        foreach (var principal in Principals(entry, end))
        {
            if (principal is not null && fences.Of(principal) is { } fence)
            {
                // It counts as a change of it, and tells of none of its values.
                foreach (var key in fence.Keys)
                {
                    if (key.IsLate(principal))
                    {
                        _late.Add((key, principal, false));
                        continue;
                    }
                    if (principal.State != EntityState.Added && key.MayHaveMoved(principal))
                    {
                        Name(key.Of(principal.OriginalValues.ToObject()));
                    }
                    Name(key.Of(principal.Entity));
                }
                foreach (var further in fence.Ends)
                {
                    CollectEnd(principal, further);
                }
            }
            else if (principal is null && !_isNamed)
            {
                throw new InvalidOperationException(
                    $"a row of {entry.Metadata.DisplayName()} changes for a {end.PrincipalEntityType.DisplayName()} that is not tracked, so its keys are not known: "
                    + "load it, or name them before the save: db.Fence(\"…\")");
            }
        }
    }

    /// <summary>Whose row it is, and whose it was.</summary>
    private IEnumerable<EntityEntry?> Principals(EntityEntry entry, IForeignKey end)
    {
        var current = KeyValues.Of(end.Properties, property => entry.Property(property).CurrentValue);
        yield return Tracked(end.PrincipalKey, current);
        if (entry.State == EntityState.Added)
        {
            yield break;
        }
        var original = KeyValues.Of(end.Properties, property => entry.Property(property).OriginalValue);
        if (!original.Equals(current))
        {
            yield return Tracked(end.PrincipalKey, original);
        }
    }

    private EntityEntry? Tracked(IKey key, KeyValues values)
    {
        if (!_tracked.TryGetValue(key, out var tracked))
        {
            tracked = [];
            foreach (var entry in context.ChangeTracker.Entries().Where(entry => key.DeclaringEntityType.IsAssignableFrom(entry.Metadata)))
            {
                tracked[KeyValues.Of(key.Properties, property => entry.Property(property).CurrentValue)] = entry;
            }
            _tracked.Add(key, tracked);
        }
        return tracked.GetValueOrDefault(values);
    }

    /// <summary>Whether the row is as this transaction made it, all of it.</summary>
    private static bool IsStored(EntityEntry entry, EntityFence fence) => entry.State != EntityState.Modified || fence.HasToken
        || entry.Properties.All(property => property.IsModified || property.Metadata.IsPrimaryKey());

    private void Name(string? name, EntityKey? stored = null, EntityEntry? entry = null)
    {
        if (name is null)
        {
            return;
        }
        var isOfOne = _keys.Add(name) || (_values[name] is var (key, before, _) && key == stored && before.Entity == entry?.Entity);
        _values[name] = isOfOne && stored?.Mapped.Store is not null
            ? (stored, entry!, entry!.State == EntityState.Deleted ? entry.Entity : null)
            : null;
    }

    [LoggerMessage(2, LogLevel.Warning, "the value of the key {Key} cannot be made, so it is not stored, and the next reader loads it")]
    private static partial void IsNotStored(ILogger logger, string key, Exception problem);

    /// <summary>The values of a key, compared one by one.</summary>
    private readonly record struct KeyValues(object?[] Values)
    {
        public static KeyValues Of(IEnumerable<IProperty> properties, Func<IProperty, object?> value) => new([.. properties.Select(value)]);

        public bool Equals(KeyValues other) => Values.AsSpan().SequenceEqual(other.Values);

        public override int GetHashCode()
        {
            var hash = new HashCode();
            foreach (var value in Values)
            {
                hash.Add(value);
            }
            return hash.ToHashCode();
        }
    }
}
